#pragma once

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "lib/base/clock.h"
#include "services/store/disk_format.h"

namespace holdfast::store {

// The edge clock: milliseconds of time that really passed, counted since the data directory was made. It never goes
// back, and no step of the wall clock moves it (P7). While the machine is up it follows CLOCK_BOOTTIME, so a restart of
// the process loses nothing. Time during which the machine was off is added once the wall clock is synchronised again,
// if it was synchronised before; else only what is certain is counted, the time since boot. Thread-safe.
class EdgeClock {
 public:
  // `clock` must outlive this. `saved`: what Save() gave last, or a default one for a new directory.
  EdgeClock(Clock* clock, const ClockRecord& saved);

  // Milliseconds counted.
  uint64_t NowMs();
  int64_t WallMs() const;

  // What to persist with the next write. Also the moment at which time off is added, once it can be known.
  ClockRecord Save();

 private:
  uint64_t NowLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CountTimeOff() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock* const clock_;
  const uint64_t boot_id_;
  absl::Mutex mutex_;
  uint64_t base_ms_ ABSL_GUARDED_BY(mutex_);           // edge clock at since-boot time 0; may wrap, only sums are used
  uint64_t last_ms_ ABSL_GUARDED_BY(mutex_);           // never go below
  int64_t off_since_wall_ms_ ABSL_GUARDED_BY(mutex_);  // see ClockRecord
};

}  // namespace holdfast::store
