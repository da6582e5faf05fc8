#pragma once

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "lib/rpc/channel.h"

namespace holdfast::uplink {

// How far the hub is behind the store, as the store tells. Thread-safe.
class Lag {
 public:
  struct Value {
    // Records behind the consumer's checkpoint.
    uint64_t records = 0;
    // Age of the oldest of the queue; zero if there is none.
    absl::Duration oldest_age;
  };

  // `channels` (to the store) must outlive it.
  explicit Lag(rpc::Channels* channels) : channels_(channels) {}

  // At most `max_age` old, if the store answers within 2 s; else what was known last.
  Value Get(absl::Duration max_age);

 private:
  rpc::Channels* const channels_;
  absl::Mutex mutex_;
  Value value_ ABSL_GUARDED_BY(mutex_);
  absl::Time read_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace holdfast::uplink
