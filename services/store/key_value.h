#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/string_map.h"
#include "services/store/database.h"
#include "services/store/disk_format.h"
#include "services/store/encryption.h"
#include "services/store/leases.h"
#include "services/store/transaction.h"

namespace holdfast::store {

inline constexpr size_t kKeyBytesMax = 1024;
inline constexpr size_t kValueBytesMax = 1 << 20;

// A condition of a leader's request: the key that he put to become leader has still the revision that this got.
struct Fence {
  std::string key;
  uint64_t revision = 0;
};

// The committing side of the key-value space: conditions, revisions, leases. Sees the changes of the group that it is
// building. Lives on the committing thread. Not thread-safe.
class KeyValue {
 public:
  // `state` holds the revision and the bytes.
  KeyValue(const Database* database, const Encryption* encryption, Leases* leases, uint64_t bytes_max)
      : database_(database), encryption_(encryption), leases_(leases), bytes_max_(bytes_max) {}

  // Before each group.
  void Begin() { pending_.clear(); }

  // FAILED_PRECONDITION: `expected` is set and is not the key's revision (0 = it must not exist).
  // NOT_FOUND: the lease has ended.
  absl::Status CheckPut(std::string_view key, std::optional<uint64_t> expected, uint64_t lease_id) const;
  // RESOURCE_EXHAUSTED: no room for entries of `bytes`, in place of what they replace, which had `replaced`. What takes
  // no more than before always has room.
  absl::Status CheckRoom(const StoreState& state, uint64_t bytes, uint64_t replaced) const;
  // Bytes of the key's entry now; 0 if there is none or it can't be read.
  uint64_t BytesOf(std::string_view key) const { return Look(key).value_or(Known{}).bytes; }
  absl::Status CheckRevision(std::string_view key, std::optional<uint64_t> expected) const;
  // ABORTED: the key has another revision than the fence's, or is gone.
  absl::Status CheckFence(const Fence& fence) const;

  // Each returns the revision of the change; Delete 0 if there was nothing to delete.
  uint64_t Put(Transaction& tx, StoreState& state, std::string_view key, std::string_view value, uint64_t lease_id);
  uint64_t Delete(Transaction& tx, StoreState& state, std::string_view key);

  // Ends a lease: its keys are deleted. NOT_FOUND.
  absl::Status EndLease(Transaction& tx, StoreState& state, uint64_t lease_id);

 private:
  struct Known {
    bool exists = false;
    uint64_t revision = 0;
    uint64_t lease_id = 0;
    uint64_t bytes = 0;
  };
  absl::StatusOr<Known> Look(std::string_view key) const;

  const Database* const database_;
  const Encryption* const encryption_;
  Leases* const leases_;
  const uint64_t bytes_max_;
  StringMap<Known> pending_;
};

}  // namespace holdfast::store
