#include "lib/base/clock.h"

#include <sys/timex.h>
#include <time.h>

#include <fstream>
#include <string>

#include "absl/time/clock.h"

namespace holdfast {
namespace {

class SystemClock final : public Clock {
 public:
  absl::Time WallNow() const override { return absl::Now(); }

  absl::Duration SinceBoot() const override {
    timespec now{};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return absl::DurationFromTimespec(now);
  }

  std::string BootId() const override {
    std::string id;
    std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
    return id;
  }

  bool WallIsSynchronized() const override {
    timex state{};
    return adjtimex(&state) != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
  }
};

}  // namespace

Clock* Clock::System() {
  static SystemClock clock;
  return &clock;
}

}  // namespace holdfast
