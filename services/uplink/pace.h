#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace holdfast::uplink {

// How many messages of one identity may be in flight: doubles while the hub is quick, is halved when the hub is slow or
// says that it is busy, and then grows step by step again (additive increase, multiplicative decrease). So a hub that
// throttles is answered by slowing down. Pure; times are a monotonic clock's. Not thread-safe.
class Pace {
 public:
  struct Options {
    // 1-32,768.
    uint32_t window_max = 256;
    // An acknowledgement is slow if it took longer than this, and four times as long as the quickest one.
    absl::Duration slow_ack = absl::Seconds(1);
  };

  explicit Pace(Options options);

  uint32_t window() const { return window_; }
  // It was slowed down, and has not come back to its full window yet.
  bool throttled() const { return slowed_ && window_ < options_.window_max; }

  // All messages of the lane below `sent` are sent.
  void OnSent(uint64_t sent, absl::Duration now);
  // All below `done` are acknowledged.
  void OnDone(uint64_t done, absl::Duration now);
  // The hub said that it is busy, or closed the connection while others work.
  void OnThrottled();
  // The connection is gone: what was measured on it is void.
  void OnClosed() { measuring_ = false; }

 private:
  void Shrink();

  const Options options_;
  uint32_t window_;
  // Growth doubles below it.
  uint32_t threshold_;
  bool slowed_ = false;
  absl::Duration quickest_ = absl::InfiniteDuration();
  // One message at a time is timed.
  bool measuring_ = false;
  uint64_t measured_ = 0;
  absl::Duration measured_at_;
};

}  // namespace holdfast::uplink
