#include "services/uplink/pace.h"

#include <algorithm>

namespace holdfast::uplink {
namespace {

constexpr uint32_t kWindowStart = 32;
constexpr uint32_t kStep = 4;
constexpr int kSlowFactor = 4;

}  // namespace

Pace::Pace(Options options)
    : options_(options), window_(std::min(kWindowStart, options.window_max)), threshold_(options.window_max) {}

void Pace::OnSent(uint64_t sent, absl::Duration now) {
  if (measuring_) return;
  measuring_ = true;
  measured_ = sent;
  measured_at_ = now;
}

void Pace::OnDone(uint64_t done, absl::Duration now) {
  if (!measuring_ || done < measured_) return;
  measuring_ = false;
  const absl::Duration took = now - measured_at_;
  quickest_ = std::min(quickest_, took);
  if (took > std::max(options_.slow_ack, quickest_ * kSlowFactor)) {
    Shrink();
  } else if (window_ < threshold_) {
    window_ = std::min(window_ * 2, threshold_);
  } else {
    window_ = std::min(window_ + kStep, options_.window_max);
    threshold_ = window_;
  }
}

void Pace::OnThrottled() {
  measuring_ = false;
  Shrink();
}

void Pace::Shrink() {
  slowed_ = true;
  window_ = std::max(window_ / 2, 1u);
  threshold_ = window_;
}

}  // namespace holdfast::uplink
