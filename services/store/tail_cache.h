#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "services/store/block.h"

namespace holdfast::store {

// The newest blocks of all queues, up to a number of bytes, the oldest going first. What it holds of a lane is always
// the lane's last blocks without a gap, so that a reader who finds his position in it needs no disk. Thread-safe.
class TailCache {
 public:
  explicit TailCache(size_t bytes_max) : bytes_max_(bytes_max) {}

  // `block` must be the newest of its lane.
  void Insert(uint64_t queue_id, BlockPtr block);

  // The first block that ends at or behind `sequence`. Null if the cache does not reach back to it (look on disk), or
  // if there is none.
  BlockPtr Find(uint64_t queue_id, uint32_t priority, uint64_t sequence) const;

  // Forgets a lane's blocks that begin before `sequence`.
  void Trim(uint64_t queue_id, uint32_t priority, uint64_t sequence);

  // Forgets all blocks of a queue.
  void ForgetQueue(uint64_t queue_id);
  void Clear();
  size_t bytes() const;

 private:
  using LaneKey = std::pair<uint64_t, uint32_t>;
  struct Entry {
    LaneKey lane;
    BlockPtr block;
  };
  using Order = std::list<Entry>;

  void PopFront(LaneKey lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t bytes_max_;
  mutable absl::Mutex mutex_;
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  Order order_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<LaneKey, std::deque<Order::iterator>> lanes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::store
