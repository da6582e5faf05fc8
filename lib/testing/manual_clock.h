#pragma once

#include <string>

#include "absl/synchronization/mutex.h"
#include "lib/base/clock.h"

namespace holdfast {

// A clock that a test moves by hand. Thread-safe.
class ManualClock final : public Clock {
 public:
  absl::Time WallNow() const override {
    absl::MutexLock lock(&mutex_);
    return wall_;
  }
  absl::Duration SinceBoot() const override {
    absl::MutexLock lock(&mutex_);
    return since_boot_;
  }
  std::string BootId() const override {
    absl::MutexLock lock(&mutex_);
    return boot_id_;
  }
  bool WallIsSynchronized() const override {
    absl::MutexLock lock(&mutex_);
    return synchronized_;
  }

  // Time passes: both clocks move.
  void Advance(absl::Duration d) {
    absl::MutexLock lock(&mutex_);
    wall_ += d;
    since_boot_ += d;
  }
  // Somebody sets the wall clock.
  void SetWall(absl::Time t) {
    absl::MutexLock lock(&mutex_);
    wall_ = t;
  }
  void SetSynchronized(bool s) {
    absl::MutexLock lock(&mutex_);
    synchronized_ = s;
  }
  // The machine boots anew, having been off for `off` of real time.
  void Reboot(absl::Duration off) {
    absl::MutexLock lock(&mutex_);
    wall_ += off;
    since_boot_ = absl::Seconds(1);
    boot_id_ += "'";
  }

 private:
  mutable absl::Mutex mutex_;
  absl::Time wall_ ABSL_GUARDED_BY(mutex_) = absl::FromUnixSeconds(1'800'000'000);
  absl::Duration since_boot_ ABSL_GUARDED_BY(mutex_) = absl::Seconds(1000);
  std::string boot_id_ ABSL_GUARDED_BY(mutex_) = "boot";
  bool synchronized_ ABSL_GUARDED_BY(mutex_) = true;
};

}  // namespace holdfast
