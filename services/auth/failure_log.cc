#include "services/auth/failure_log.h"

#include <algorithm>
#include <utility>

namespace holdfast::auth {

std::optional<uint64_t> FailureLog::Admit(absl::Duration now) {
  absl::MutexLock lock(&mutex_);
  const double passed = std::max(0.0, absl::ToDoubleSeconds(now - last_));
  tokens_ = std::min(kBurst, tokens_ + passed * kPerSecond);
  last_ = now;
  if (tokens_ < 1) {
    ++left_out_;
    return std::nullopt;
  }
  tokens_ -= 1;
  return std::exchange(left_out_, 0);
}

}  // namespace holdfast::auth
