#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/store/database.h"
#include "services/store/disk_format.h"
#include "services/store/encryption.h"
#include "services/store/queue.h"
#include "services/store/transaction.h"

namespace holdfast::store {

// All queues, by name, and the numbers of the store as a whole. Loading costs a few reads a queue, whatever they hold.
// Lives on the committing thread. Not thread-safe.
class Catalog {
 public:
  Catalog(const Database* database, const Encryption* encryption) : database_(database), encryption_(encryption) {}

  // Reads everything anew. Feeds of queues that exist go on. After a repair the counters are fitted to the blocks found
  // (into `tx`), and the numbering moves on, so that no sequence that was given out and lost can come again.
  absl::Status Load(bool repaired, Transaction& tx);

  Queue* Find(std::string_view name);
  Queue* FindById(uint64_t id);
  // RESOURCE_EXHAUSTED if there are too many queues.
  absl::StatusOr<Queue*> FindOrCreate(Transaction& tx, std::string_view name);
  // NOT_FOUND. Its blocks are removed bit by bit (CollectGarbage).
  absl::Status Delete(Transaction& tx, std::string_view name);

  // In order of name, those that start with `prefix`.
  void ForEach(std::string_view prefix, const std::function<void(Queue&)>& visit);
  // The same for names behind `after` (empty = all), until `visit` returns false.
  void Walk(std::string_view prefix, std::string_view after, const std::function<bool(Queue&)>& visit);

  uint64_t bytes() const { return bytes_; }
  size_t size() const { return by_name_.size(); }
  StoreState& state() { return state_; }

  // Deletes blocks of deleted queues and those before the heads. Returns the number of keys, 0 = nothing left.
  size_t CollectGarbage(Transaction& tx, size_t keys_max);
  bool has_garbage() const;

  // Adds the counters of the touched queues to the batch.
  void Seal(Transaction& tx);

 private:
  absl::Status LoadQueues(bool repaired, Transaction& tx);
  void LoadConsumers();
  void FindDeletedQueues(Transaction& tx);

  const Database* const database_;
  const Encryption* const encryption_;
  StoreState state_;
  uint64_t bytes_ = 0;
  absl::btree_map<std::string, std::unique_ptr<Queue>, std::less<>> by_name_;
  absl::flat_hash_map<uint64_t, Queue*> by_id_;
  absl::btree_set<uint64_t> garbage_;  // queues with blocks before their heads, as far as known
  std::vector<uint64_t> deleted_;      // queues whose blocks are still on disk
};

// 16 random hexadecimal digits.
std::string RandomHexId();

}  // namespace holdfast::store
