#pragma once

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace holdfast::router {

// Keeps a flood of bad clients from flooding the log: so many lines a second, then silence, counted. Thread-safe.
class LogLimit {
 public:
  explicit LogLimit(int64_t lines_per_second) : lines_per_second_(lines_per_second) {}

  // Whether this line may be written. *suppressed = lines that were not since the last one that was.
  bool Take(absl::Time now, uint64_t* suppressed) {
    absl::MutexLock lock(&mutex_);
    if (now - window_ >= absl::Seconds(1) || now < window_) {
      window_ = now;
      lines_ = 0;
    }
    if (lines_ >= lines_per_second_) {
      ++suppressed_;
      return false;
    }
    ++lines_;
    *suppressed = suppressed_;
    suppressed_ = 0;
    return true;
  }

 private:
  const int64_t lines_per_second_;
  absl::Mutex mutex_;
  absl::Time window_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  int64_t lines_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t suppressed_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace holdfast::router
