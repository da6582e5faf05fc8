#include "services/store/edge_clock.h"

#include <gtest/gtest.h>

#include "lib/testing/manual_clock.h"

namespace holdfast::store {
namespace {

TEST(EdgeClockTest, P7_StepsOfTheWallClockMoveNothing) {
  ManualClock clock;
  EdgeClock edge(&clock, {});
  EXPECT_EQ(edge.NowMs(), 0u);
  clock.SetWall(absl::FromUnixSeconds(0));
  EXPECT_EQ(edge.NowMs(), 0u);
  clock.Advance(absl::Seconds(5));
  clock.SetWall(absl::FromUnixSeconds(1'900'000'000));
  EXPECT_EQ(edge.NowMs(), 5000u);
}

TEST(EdgeClockTest, RestartOfTheProcessCountsTheTimeInBetween) {
  ManualClock clock;
  const ClockRecord saved = EdgeClock(&clock, {}).Save();
  clock.Advance(absl::Seconds(7));
  EXPECT_EQ(EdgeClock(&clock, saved).NowMs(), 7000u);
}

// P7
TEST(EdgeClockTest, TimeOffCountsWhenTheWallClockWasAndIsSynchronized) {
  ManualClock clock;
  const ClockRecord saved = EdgeClock(&clock, {}).Save();
  clock.Reboot(absl::Hours(1));
  const uint64_t now = EdgeClock(&clock, saved).NowMs();
  EXPECT_NEAR(static_cast<double>(now), 3'600'000.0, 2000.0);
}

TEST(EdgeClockTest, TimeOffIsAddedLaterWhenSynchronizationComesLater) {
  ManualClock clock;
  const ClockRecord saved = EdgeClock(&clock, {}).Save();
  clock.SetSynchronized(false);
  clock.Reboot(absl::Hours(1));
  EdgeClock edge(&clock, saved);
  EXPECT_LE(edge.NowMs(), 1000u);
  const ClockRecord between = edge.Save();
  EdgeClock restarted(&clock, between);
  clock.SetSynchronized(true);
  restarted.Save();
  EXPECT_NEAR(static_cast<double>(restarted.NowMs()), 3'600'000.0, 2000.0);
}

// P7
TEST(EdgeClockTest, TimeOffIsNotCountedWithoutSynchronization) {
  ManualClock clock;
  clock.SetSynchronized(false);
  const ClockRecord saved = EdgeClock(&clock, {}).Save();
  clock.Reboot(absl::Hours(1));
  clock.SetSynchronized(true);
  EXPECT_LE(EdgeClock(&clock, saved).NowMs(), 1000u);
}

}  // namespace
}  // namespace holdfast::store
