// Time as an input. Code that waits, expires or stamps takes a Clock, so that a test moves time by hand.
#pragma once

#include "absl/time/time.h"

namespace holdfast {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // The wall clock. May be wrong and may jump; for stamps and for dates that others set (token expiry).
  virtual absl::Time WallNow() const = 0;

  // Time since the machine's boot, suspend included (CLOCK_BOOTTIME). Never goes back within one boot.
  virtual absl::Duration SinceBoot() const = 0;

  // Identifies the boot that SinceBoot() counts from (/proc/sys/kernel/random/boot_id).
  virtual std::string BootId() const = 0;

  // True if the kernel says that the wall clock is disciplined by NTP or PTP (adjtimex(2), not STA_UNSYNC).
  virtual bool WallIsSynchronized() const = 0;

  // The machine's clock.
  static Clock* System();
};

}  // namespace holdfast
