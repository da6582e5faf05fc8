#include "services/uplink/pace.h"

#include <gtest/gtest.h>

namespace holdfast::uplink {
namespace {

class PaceTest : public testing::Test {
 protected:
  // A round: as much as the window allows is sent, and acknowledged after `rtt`.
  void Round(absl::Duration rtt) {
    sent_ += pace_.window();
    pace_.OnSent(sent_, now_);
    now_ += rtt;
    pace_.OnDone(sent_, now_);
  }
  Pace pace_{{.window_max = 256, .slow_ack = absl::Seconds(1)}};
  uint64_t sent_ = 0;
  absl::Duration now_ = absl::Seconds(100);
};

TEST_F(PaceTest, DoublesUpToTheMaximumWhileTheHubIsQuick) {
  EXPECT_EQ(pace_.window(), 32u);
  Round(absl::Milliseconds(50));
  EXPECT_EQ(pace_.window(), 64u);
  for (int i = 0; i < 5; ++i) Round(absl::Milliseconds(50));
  EXPECT_EQ(pace_.window(), 256u);
  EXPECT_FALSE(pace_.throttled());
}

TEST_F(PaceTest, SlowAcknowledgementsHalveItAndItGrowsAgain) {
  for (int i = 0; i < 5; ++i) Round(absl::Milliseconds(50));
  Round(absl::Seconds(3));
  EXPECT_EQ(pace_.window(), 128u);
  EXPECT_TRUE(pace_.throttled());
  for (int i = 0; i < 20; ++i) Round(absl::Seconds(3));
  EXPECT_EQ(pace_.window(), 1u) << "never 0";
  Round(absl::Milliseconds(50));
  EXPECT_EQ(pace_.window(), 5u) << "step by step";
  for (int i = 0; i < 100; ++i) Round(absl::Milliseconds(50));
  EXPECT_EQ(pace_.window(), 256u);
  EXPECT_FALSE(pace_.throttled());
}

// A satellite is slow, always: that is no throttling.
TEST_F(PaceTest, LongWayIsNoThrottling) {
  for (int i = 0; i < 10; ++i) Round(absl::Milliseconds(1300));
  EXPECT_EQ(pace_.window(), 256u);
}

TEST_F(PaceTest, BusyHubHalvesIt) {
  pace_.OnThrottled();
  EXPECT_EQ(pace_.window(), 16u);
}

TEST_F(PaceTest, WhatWasMeasuredOnABrokenConnectionIsVoid) {
  pace_.OnSent(10, now_);
  pace_.OnClosed();
  pace_.OnDone(10, now_ + absl::Minutes(10));
  EXPECT_EQ(pace_.window(), 32u);
}

}  // namespace
}  // namespace holdfast::uplink
