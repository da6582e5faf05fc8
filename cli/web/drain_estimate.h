#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>

#include "absl/time/time.h"

namespace holdfast::web {

// What can be said about the end of a backlog.
struct Drain {
  enum class State : uint8_t {
    kUnknown,    // nobody could be asked how much waits
    kEmpty,      // nothing waits
    kFlowing,    // what waits is what is just passing through: less than goes out in kFlowing
    kWaiting,    // it can't drain: the link is down, or nobody reads
    kMeasuring,  // it could drain, for too short a time to say how fast
    kDraining,   // it falls; `left` says for how long
    kGrowing,    // more comes in than goes out
    kStuck,      // it neither falls nor grows
  };
  State state = State::kUnknown;
  // kDraining: until it is empty.
  absl::Duration left = absl::ZeroDuration();
  // kDraining, kGrowing: records a second by which it falls or grows, at least 0.
  double per_second = 0;
};

// "unknown", "empty", "flowing", …
std::string_view Name(Drain::State state);

// When will a backlog be gone? From its size, once a second or so: a line through the sizes of the last kWindow (least
// squares, so that one odd second turns nothing), begun anew whenever it could not drain, since what it did then says
// nothing. An end once told is kept, and counted down to, until the newest one is off by more than a fifth of what is
// left: people read this. Pure; not thread-safe.
class DrainEstimate {
 public:
  static constexpr absl::Duration kWindow = absl::Seconds(60);
  // Before anything is said.
  static constexpr absl::Duration kMeasure = absl::Seconds(5);
  static constexpr absl::Duration kFlowing = absl::Seconds(2);
  // What takes longer is called stuck.
  static constexpr absl::Duration kLeftMax = absl::Hours(24 * 30);

  struct Input {
    absl::Duration at;  // on a clock that does not jump; never less than the one before
    std::optional<uint64_t> backlog;
    bool can_drain = false;
    double out_per_second = 0;
  };
  Drain Add(const Input& input);

 private:
  struct Point {
    absl::Duration at;
    double backlog;
  };
  // Records a second; positive: it grows.
  double Slope() const;
  Drain Judge(const Input& input);
  // Counts down to the end that was told, or tells another one.
  absl::Duration Left(absl::Duration at, absl::Duration newest);

  std::deque<Point> points_;
  std::optional<absl::Duration> told_end_;
};

}  // namespace holdfast::web
