#include "cli/web/drain_estimate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace holdfast::web {
namespace {

using State = Drain::State;

// One sample a second.
class Seconds {
 public:
  Drain Add(std::optional<uint64_t> backlog, bool can_drain = true, double out = 0) {
    at_ += absl::Seconds(1);
    return estimate_.Add({.at = at_, .backlog = backlog, .can_drain = can_drain, .out_per_second = out});
  }

 private:
  DrainEstimate estimate_;
  absl::Duration at_ = absl::Hours(1);
};

TEST(DrainEstimateTest, SaysWhenASteadyDrainIsDone) {
  Seconds seconds;
  Drain drain;
  for (uint64_t backlog = 100'000; backlog >= 80'000; backlog -= 1'000) drain = seconds.Add(backlog, true, 1'000);
  EXPECT_EQ(drain.state, State::kDraining);
  EXPECT_NEAR(absl::ToDoubleSeconds(drain.left), 80, 1);
  EXPECT_NEAR(drain.per_second, 1'000, 1);
}

TEST(DrainEstimateTest, MeasuresBeforeItSaysAnything) {
  Seconds seconds;
  EXPECT_EQ(seconds.Add(1'000).state, State::kMeasuring);
  EXPECT_EQ(seconds.Add(990).state, State::kMeasuring);
}

TEST(DrainEstimateTest, NothingWaits) {
  EXPECT_EQ(Seconds().Add(0).state, State::kEmpty);
  EXPECT_EQ(Seconds().Add(0, false).state, State::kEmpty);
  EXPECT_EQ(Seconds().Add(std::nullopt).state, State::kUnknown);
}

TEST(DrainEstimateTest, WhatJustPassesThroughIsNoBacklog) {
  Seconds seconds;
  for (int i = 0; i < 60; ++i) EXPECT_EQ(seconds.Add(50 + i % 7, true, 100).state, State::kFlowing);
}

TEST(DrainEstimateTest, GrowthWhileTheLinkWasDownDoesNotCount) {
  Seconds seconds;
  for (uint64_t backlog = 0; backlog < 6'000; backlog += 100) {
    const Drain drain = seconds.Add(backlog, false);
    EXPECT_EQ(drain.state, backlog == 0 ? State::kEmpty : State::kWaiting);
  }
  Drain drain;
  for (uint64_t backlog = 6'000; backlog > 5'400; backlog -= 100) drain = seconds.Add(backlog);
  EXPECT_EQ(drain.state, State::kDraining);
  EXPECT_NEAR(absl::ToDoubleSeconds(drain.left), 55, 2);
}

TEST(DrainEstimateTest, WhatWasBeforeAnOutageDoesNotCountAfterIt) {
  Seconds seconds;
  Drain drain;
  for (uint64_t backlog = 6'000; backlog > 5'000; backlog -= 100) drain = seconds.Add(backlog);
  EXPECT_EQ(drain.state, State::kDraining);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(seconds.Add(9'000, false).state, State::kWaiting);
  EXPECT_EQ(seconds.Add(9'000).state, State::kMeasuring);
  for (uint64_t backlog = 8'950; backlog > 8'000; backlog -= 50) drain = seconds.Add(backlog);
  EXPECT_EQ(drain.state, State::kDraining);
  EXPECT_NEAR(drain.per_second, 50, 1);
}

TEST(DrainEstimateTest, DoesNotPromiseAnEndThatDoesNotCome) {
  Seconds stuck, growing;
  Drain drain;
  for (int i = 0; i < 20; ++i) drain = stuck.Add(5'000);
  EXPECT_EQ(drain.state, State::kStuck);
  for (int i = 0; i < 20; ++i) drain = growing.Add(5'000 + 50 * i, true, 100);
  EXPECT_EQ(drain.state, State::kGrowing);
  EXPECT_NEAR(drain.per_second, 50, 1);
}

TEST(DrainEstimateTest, StaysSteadyWhenTheRateDoesNot) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> rate(0, 2'000);  // 1,000 a second on average
  Seconds seconds;
  double backlog = 180'000;
  absl::Duration last;
  int jumps = 0;
  double worst = 0;
  for (int second = 0; backlog > 20'000; ++second) {
    const Drain drain = seconds.Add(static_cast<uint64_t>(backlog), true, 1'000);
    if (second > 30) {
      ASSERT_EQ(drain.state, State::kDraining);
      if (absl::AbsDuration(drain.left - (last - absl::Seconds(1))) > absl::Seconds(1)) ++jumps;
      worst = std::max(worst, std::abs(absl::ToDoubleSeconds(drain.left) / (backlog / 1'000) - 1));
    }
    last = drain.left;
    backlog -= rate(random);
  }
  EXPECT_LE(jumps, 6) << "in two and a half minutes";
  EXPECT_LT(worst, 0.5);
}

TEST(DrainEstimateTest, AnEndThatWasToldAndIsPastIsToldAnew) {
  Seconds seconds;
  Drain drain;
  for (uint64_t backlog = 10'000; backlog > 9'000; backlog -= 100) drain = seconds.Add(backlog);
  const absl::Duration told = drain.left;
  // Ten times slower from now on.
  for (uint64_t backlog = 9'000; backlog > 7'500; backlog -= 10) drain = seconds.Add(backlog);
  EXPECT_GT(drain.left, absl::Seconds(600));
  EXPECT_LT(told, absl::Seconds(100));
}

}  // namespace
}  // namespace holdfast::web
