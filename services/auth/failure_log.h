#pragma once

#include <cstdint>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace holdfast::auth {

// Decides which of many like events are logged, so that a flood of bad passwords fills no disk: kBurst at once,
// kPerSecond from then on. Thread-safe.
class FailureLog {
 public:
  static constexpr double kBurst = 50;
  static constexpr double kPerSecond = 5;

  // `now`: time since boot. Nothing if this event is not to be logged; otherwise how many were left out since the last
  // one that was.
  std::optional<uint64_t> Admit(absl::Duration now);

 private:
  absl::Mutex mutex_;
  double tokens_ ABSL_GUARDED_BY(mutex_) = kBurst;
  absl::Duration last_ ABSL_GUARDED_BY(mutex_);
  uint64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace holdfast::auth
