#pragma once

#include <algorithm>

#include "absl/time/time.h"

namespace holdfast::uplink {

// Spreads requests of many clients evenly: at most so many a second, in the order in which they asked. Times are a
// monotonic clock's. Not thread-safe.
class RequestRate {
 public:
  explicit RequestRate(double per_second) : interval_(absl::Seconds(1 / per_second)) {}

  // When the next one may go: now at the earliest. Its place is taken.
  absl::Duration Take(absl::Duration now) {
    const absl::Duration at = std::max(next_, now);
    next_ = at + interval_;
    return at;
  }

 private:
  const absl::Duration interval_;
  absl::Duration next_ = -absl::InfiniteDuration();
};

}  // namespace holdfast::uplink
