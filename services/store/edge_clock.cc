#include "services/store/edge_clock.h"

#include <algorithm>
#include <string>

#include "absl/time/time.h"
#include "lib/base/log.h"

namespace holdfast::store {
namespace {

// FNV-1a; only compared for equality with what the same machine wrote before.
uint64_t HashBootId(const std::string& id) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : id) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

uint64_t SinceBootMs(const Clock& clock) {
  return static_cast<uint64_t>(std::max<int64_t>(absl::ToInt64Milliseconds(clock.SinceBoot()), 0));
}

}  // namespace

EdgeClock::EdgeClock(Clock* clock, const ClockRecord& saved)
    : clock_(clock),
      boot_id_(HashBootId(clock->BootId())),
      base_ms_(saved.edge_ms),
      last_ms_(saved.edge_ms),
      off_since_wall_ms_(saved.off_since_wall_ms) {
  const uint64_t since_boot_ms = SinceBootMs(*clock_);
  const bool first_start = saved.boot_id == 0;
  if (first_start) {
    base_ms_ = 0 - since_boot_ms;
  } else if (saved.boot_id == boot_id_) {
    base_ms_ = saved.edge_ms - std::min(saved.since_boot_ms, since_boot_ms);
  } else {
    off_since_wall_ms_ = saved.synchronized ? saved.wall_ms : 0;
  }
  absl::MutexLock lock(&mutex_);
  CountTimeOff();
}

uint64_t EdgeClock::NowMs() {
  absl::MutexLock lock(&mutex_);
  return NowLocked();
}

uint64_t EdgeClock::NowLocked() {
  const uint64_t now = base_ms_ + SinceBootMs(*clock_);
  last_ms_ = std::max(last_ms_, now);
  return last_ms_;
}

int64_t EdgeClock::WallMs() const {
  return absl::ToUnixMillis(clock_->WallNow());
}

void EdgeClock::CountTimeOff() {
  if (off_since_wall_ms_ == 0 || !clock_->WallIsSynchronized()) return;
  const int64_t wall_at_boot_ms = WallMs() - static_cast<int64_t>(SinceBootMs(*clock_));
  const int64_t off_ms = wall_at_boot_ms - off_since_wall_ms_;
  off_since_wall_ms_ = 0;
  if (off_ms <= 0) return;
  base_ms_ += static_cast<uint64_t>(off_ms);
  spdlog::info("time off added to the edge clock seconds={}", off_ms / 1000);
}

ClockRecord EdgeClock::Save() {
  absl::MutexLock lock(&mutex_);
  CountTimeOff();
  ClockRecord record;
  record.edge_ms = NowLocked();
  record.boot_id = boot_id_;
  record.since_boot_ms = SinceBootMs(*clock_);
  record.wall_ms = WallMs();
  record.synchronized = clock_->WallIsSynchronized();
  record.off_since_wall_ms = off_since_wall_ms_;
  return record;
}

}  // namespace holdfast::store
