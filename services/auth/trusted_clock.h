#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"

namespace holdfast::auth {

// The time by which tokens and certificates are judged: the wall clock when it can be believed, and otherwise no
// earlier than what is known to have passed (docs/decisions/0004). Thread-safe.
//
//   synchronized by NTP or PTP   the wall clock
//   not, wall after Floor()      the wall clock, but not before the last synchronized time
//   not, wall before Floor()     the latest of: Floor(), last synchronized time, last plausible time
//
// "Last" times count on by the time since boot. Floor() is a date before which this code did not exist.
class TrustedClock {
 public:
  // What survives a restart, kept in the store. InfinitePast = never.
  struct Marks {
    absl::Time synchronized = absl::InfinitePast();  // latest wall time that was synchronized
    absl::Time plausible = absl::InfinitePast();     // latest wall time after Floor()
  };

  explicit TrustedClock(const Clock& clock) : clock_(clock) {}

  // What an earlier run knew. Marks that this run has made already stay.
  void Restore(const Marks& marks);

  // Takes note of the wall clock, if it can be believed, and gives what to keep.
  Marks Observe();

  absl::Time Now() const;

  // False if Now() is a guess: the wall clock was overruled.
  bool WallIsBelieved() const;

 private:
  struct Mark {
    absl::Time wall = absl::InfinitePast();
    absl::Duration since_boot;
  };
  absl::Time Elapsed(const Mark& mark) const;

  const Clock& clock_;
  mutable absl::Mutex mutex_;
  Mark synchronized_ ABSL_GUARDED_BY(mutex_);
  Mark plausible_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::auth
