#include "cli/web/drain_estimate.h"

#include <algorithm>
#include <cmath>

namespace holdfast::web {
namespace {

// A change over the window of less than this part of the backlog, or of less than one record, is none.
constexpr double kNoiseShare = 0.001;
constexpr double kNoiseRecords = 1;
// How far the newest end may be from the one told: this part of what is left, and at least so much.
constexpr double kToleratedShare = 0.2;
constexpr absl::Duration kTolerated = absl::Seconds(5);

}  // namespace

std::string_view Name(Drain::State state) {
  switch (state) {
    case Drain::State::kUnknown:
      return "unknown";
    case Drain::State::kEmpty:
      return "empty";
    case Drain::State::kFlowing:
      return "flowing";
    case Drain::State::kWaiting:
      return "waiting";
    case Drain::State::kMeasuring:
      return "measuring";
    case Drain::State::kDraining:
      return "draining";
    case Drain::State::kGrowing:
      return "growing";
    case Drain::State::kStuck:
      return "stuck";
  }
  return "unknown";
}

Drain DrainEstimate::Add(const Input& input) {
  const bool counts = input.backlog.has_value() && *input.backlog > 0 && input.can_drain;
  if (!counts) {
    points_.clear();
  } else {
    points_.push_back({input.at, static_cast<double>(*input.backlog)});
    while (points_.front().at < input.at - kWindow) points_.pop_front();
  }
  Drain drain = Judge(input);
  if (drain.state != Drain::State::kDraining) told_end_.reset();
  return drain;
}

Drain DrainEstimate::Judge(const Input& input) {
  using State = Drain::State;
  if (!input.backlog.has_value()) return {.state = State::kUnknown};
  const auto backlog = static_cast<double>(*input.backlog);
  if (backlog == 0) return {.state = State::kEmpty};
  if (!input.can_drain) return {.state = State::kWaiting};
  if (backlog <= input.out_per_second * absl::ToDoubleSeconds(kFlowing)) return {.state = State::kFlowing};
  const absl::Duration span = points_.back().at - points_.front().at;
  if (span < kMeasure) return {.state = State::kMeasuring};
  const double slope = Slope();
  const double change = std::abs(slope) * absl::ToDoubleSeconds(span);
  if (change < std::max(kNoiseRecords, kNoiseShare * backlog)) return {.state = State::kStuck};
  if (slope > 0) return {.state = State::kGrowing, .per_second = slope};
  const absl::Duration newest = absl::Seconds(backlog / -slope);
  if (newest > kLeftMax) return {.state = State::kStuck};
  return {.state = State::kDraining, .left = Left(input.at, newest), .per_second = -slope};
}

double DrainEstimate::Slope() const {
  const absl::Duration origin = points_.front().at;
  const auto count = static_cast<double>(points_.size());
  double sum_t = 0, sum_b = 0, sum_tt = 0, sum_tb = 0;
  for (const Point& point : points_) {
    const double t = absl::ToDoubleSeconds(point.at - origin);
    sum_t += t;
    sum_b += point.backlog;
    sum_tt += t * t;
    sum_tb += t * point.backlog;
  }
  const double divisor = count * sum_tt - sum_t * sum_t;
  return divisor > 0 ? (count * sum_tb - sum_t * sum_b) / divisor : 0;
}

absl::Duration DrainEstimate::Left(absl::Duration at, absl::Duration newest) {
  const absl::Duration end = at + newest;
  const absl::Duration tolerated = std::max(kTolerated, kToleratedShare * newest);
  const bool holds = told_end_.has_value() && *told_end_ > at && absl::AbsDuration(*told_end_ - end) <= tolerated;
  if (!holds) told_end_ = end;
  return *told_end_ - at;
}

}  // namespace holdfast::web
