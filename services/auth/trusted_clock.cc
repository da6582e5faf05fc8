#include "services/auth/trusted_clock.h"

#include <algorithm>

#include "lib/pki/certificate.h"

namespace holdfast::auth {

absl::Time TrustedClock::Elapsed(const Mark& mark) const {
  return mark.wall + std::max(absl::ZeroDuration(), clock_.SinceBoot() - mark.since_boot);
}

void TrustedClock::Restore(const Marks& marks) {
  const absl::Duration since_boot = clock_.SinceBoot();
  absl::MutexLock lock(&mutex_);
  if (synchronized_.wall == absl::InfinitePast()) synchronized_ = {marks.synchronized, since_boot};
  if (plausible_.wall == absl::InfinitePast()) plausible_ = {marks.plausible, since_boot};
}

TrustedClock::Marks TrustedClock::Observe() {
  const absl::Time wall = clock_.WallNow();
  const absl::Duration since_boot = clock_.SinceBoot();
  const bool is_synchronized = clock_.WallIsSynchronized();
  absl::MutexLock lock(&mutex_);
  if (wall >= pki::Floor()) {
    plausible_ = {wall, since_boot};
    if (is_synchronized) synchronized_ = {wall, since_boot};
  }
  return {.synchronized = Elapsed(synchronized_), .plausible = Elapsed(plausible_)};
}

absl::Time TrustedClock::Now() const {
  const absl::Time wall = clock_.WallNow();
  absl::MutexLock lock(&mutex_);
  if (wall < pki::Floor()) return std::max({pki::Floor(), Elapsed(synchronized_), Elapsed(plausible_)});
  return clock_.WallIsSynchronized() ? wall : std::max(wall, Elapsed(synchronized_));
}

bool TrustedClock::WallIsBelieved() const {
  return Now() <= clock_.WallNow() + absl::Seconds(1);
}

}  // namespace holdfast::auth
