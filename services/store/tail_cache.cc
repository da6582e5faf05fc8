#include "services/store/tail_cache.h"

#include <algorithm>

namespace holdfast::store {

void TailCache::Insert(uint64_t queue_id, BlockPtr block) {
  const LaneKey lane{queue_id, block->priority};
  absl::MutexLock lock(&mutex_);
  bytes_ += block->value.size();
  order_.push_back({lane, std::move(block)});
  lanes_[lane].push_back(std::prev(order_.end()));
  while (bytes_ > bytes_max_) PopFront(order_.front().lane);
}

void TailCache::PopFront(LaneKey lane) {
  const auto it = lanes_.find(lane);
  const Order::iterator entry = it->second.front();
  bytes_ -= entry->block->value.size();
  order_.erase(entry);
  it->second.pop_front();
  if (it->second.empty()) lanes_.erase(it);
}

BlockPtr TailCache::Find(uint64_t queue_id, uint32_t priority, uint64_t sequence) const {
  absl::MutexLock lock(&mutex_);
  const auto it = lanes_.find(LaneKey{queue_id, priority});
  if (it == lanes_.end() || it->second.front()->block->first_sequence > sequence) return nullptr;
  const auto found = std::partition_point(it->second.begin(), it->second.end(), [sequence](Order::iterator entry) {
    return entry->block->last_sequence() < sequence;
  });
  return found == it->second.end() ? nullptr : (*found)->block;
}

void TailCache::Trim(uint64_t queue_id, uint32_t priority, uint64_t sequence) {
  const LaneKey lane{queue_id, priority};
  absl::MutexLock lock(&mutex_);
  while (true) {
    const auto it = lanes_.find(lane);
    if (it == lanes_.end() || it->second.front()->block->first_sequence >= sequence) return;
    PopFront(lane);
  }
}

void TailCache::ForgetQueue(uint64_t queue_id) {
  for (uint32_t priority = 0; priority <= kImportantPriorityMax; ++priority) Trim(queue_id, priority, UINT64_MAX);
  Trim(queue_id, kDefaultPriority, UINT64_MAX);
}

void TailCache::Clear() {
  absl::MutexLock lock(&mutex_);
  lanes_.clear();
  order_.clear();
  bytes_ = 0;
}

size_t TailCache::bytes() const {
  absl::MutexLock lock(&mutex_);
  return bytes_;
}

}  // namespace holdfast::store
