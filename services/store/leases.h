#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/store/database.h"
#include "services/store/transaction.h"

namespace holdfast::store {

// Leases and the keys bound to them. Keeping one costs no write: only its end is on the edge clock, in memory, and a
// restart gives each its full time again. Lives on the committing thread. Not thread-safe.
class Leases {
 public:
  // Reads what is on disk; every lease gets its full time from `now_edge_ms` on.
  absl::Status Load(const Database& database, uint64_t now_edge_ms);

  // `id` is a new one. RESOURCE_EXHAUSTED if there are too many.
  absl::Status Grant(Transaction& tx, uint64_t id, uint64_t ttl_ms);
  // Gives the full time ahead, in milliseconds. NOT_FOUND.
  absl::StatusOr<uint64_t> Keep(uint64_t id, uint64_t now_edge_ms);
  bool Exists(uint64_t id) const { return leases_.contains(id); }

  void Bind(Transaction& tx, uint64_t id, std::string_view key);
  void Unbind(Transaction& tx, uint64_t id, std::string_view key);

  // Ends the lease and gives its keys, for the caller to delete. NOT_FOUND.
  absl::StatusOr<std::vector<std::string>> End(Transaction& tx, uint64_t id);

  // Leases whose time is over.
  std::vector<uint64_t> Ended(uint64_t now_edge_ms) const;
  // When the next one ends; nullopt = there is none.
  std::optional<uint64_t> NextEndEdgeMs() const;

 private:
  struct Lease {
    uint64_t ttl_ms = 0;
    uint64_t end_edge_ms = 0;
    absl::btree_set<std::string, std::less<>> keys;
  };
  absl::btree_map<uint64_t, Lease> leases_;
};

}  // namespace holdfast::store
