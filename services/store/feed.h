#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace holdfast::store {

// Whoever follows a queue. Its calls come from the committing thread, with no lock held, and must not wait.
class Follower {
 public:
  virtual ~Follower() = default;
  // The queue changed: there may be more to read.
  virtual void Wake() = 0;
  // It is over.
  virtual void End(const absl::Status& status) = 0;
};

// What readers may know of a queue: the part that is on disk. The committing thread publishes, after each group;
// readers take a snapshot. It stays the same object while the queue exists, also over a reopening. Thread-safe.
class Feed {
 public:
  struct Lane {
    uint32_t priority = 0;
    uint64_t head_sequence = 1;  // where the first block held begins
    uint64_t head_records = 0;   // records of the lane before it, ever
    uint64_t end_sequence = 1;   // behind the last record
    uint64_t total_records = 0;  // ever
    uint64_t total_bytes = 0;
  };
  struct Snapshot {
    std::vector<Lane> lanes;  // by priority
    int32_t ttl_seconds = 0;  // for blocks without one of their own; -1 = never
  };

  explicit Feed(uint64_t queue_id) : queue_id_(queue_id) {}

  uint64_t queue_id() const { return queue_id_; }

  void Publish(Snapshot snapshot);
  Snapshot Read() const;

  // One follower per consumer: a new one ends the older with ABORTED.
  void Attach(const std::string& consumer, std::shared_ptr<Follower> follower);
  // No effect if another one has taken its place.
  void Detach(const std::string& consumer, const Follower* follower);
  bool IsConnected(const std::string& consumer) const;
  // Ends all followers, and at once whoever comes later.
  void EndAll(const absl::Status& status);
  // Ends the follower of one consumer.
  void EndOne(const std::string& consumer, const absl::Status& status);

 private:
  struct Attached {
    std::string consumer;
    std::shared_ptr<Follower> follower;
  };

  const uint64_t queue_id_;
  mutable absl::Mutex mutex_;
  Snapshot snapshot_ ABSL_GUARDED_BY(mutex_);
  std::vector<Attached> followers_ ABSL_GUARDED_BY(mutex_);
  absl::Status ended_ ABSL_GUARDED_BY(mutex_);  // not ok: the queue is gone, or the store is stopping
};

}  // namespace holdfast::store
