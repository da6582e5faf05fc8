#include "services/uplink/lane_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::uplink {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class LanePlanTest : public testing::Test {
 protected:
  void Make(LanePlan::Options options) {
    plan_ = std::make_unique<LanePlan>(options, [] { return 0.5; });
  }
  void SetUp() override { Make(kFast); }
  LanePlan::Actions Tick(bool online = true) { return plan_->Tick(now_, online); }
  void Open(LaneId lane, absl::Duration renew_from = absl::InfiniteDuration(),
            absl::Duration renew_by = absl::InfiniteDuration()) {
    plan_->OnOpen(lane, now_, renew_from, renew_by);
  }
  void Work(LaneId lane, bool work = true) { plan_->SetWork(lane, work, now_); }

  static constexpr LanePlan::Options kFast{.connections_max = 2, .connects_per_second = 1e6};
  absl::Duration now_ = absl::Seconds(1000);
  std::unique_ptr<LanePlan> plan_;
};

TEST_F(LanePlanTest, OpensOnDemandAndClosesWhenIdle) {
  EXPECT_THAT(Tick().open, IsEmpty());
  Work(7);
  EXPECT_THAT(Tick(false).open, IsEmpty()) << "offline";
  EXPECT_THAT(Tick().open, ElementsAre(7));
  EXPECT_THAT(Tick().open, IsEmpty()) << "once";
  Open(7);
  now_ += absl::Hours(1);
  EXPECT_THAT(Tick().drain, IsEmpty()) << "it has work";
  Work(7, false);
  now_ += absl::Seconds(59);
  EXPECT_THAT(Tick().drain, IsEmpty());
  now_ += absl::Seconds(1);
  EXPECT_THAT(Tick().drain, ElementsAre(7));
  plan_->OnClosed(7, false, now_);
  EXPECT_EQ(plan_->connections(), 0u);
  Work(7);
  EXPECT_THAT(Tick().open, ElementsAre(7));
}

// P12: the one that was idle longest makes room.
TEST_F(LanePlanTest, LeastRecentlyUsedIdleConnectionMakesRoom) {
  for (const LaneId lane : {0, 1}) {
    Work(lane);
    Tick();
    Open(lane);
  }
  Work(1, false);
  now_ += absl::Seconds(1);
  Work(0, false);
  Work(2);
  now_ += absl::Milliseconds(1);
  auto actions = Tick();
  EXPECT_THAT(actions.open, IsEmpty());
  EXPECT_THAT(actions.drain, ElementsAre(1));
  EXPECT_THAT(Tick().drain, IsEmpty()) << "one is enough";
  plan_->OnClosed(1, false, now_);
  EXPECT_THAT(Tick().open, ElementsAre(2));
  EXPECT_EQ(plan_->connections(), 2u);
}

// With fewer connections than busy identities everybody has a turn.
TEST_F(LanePlanTest, BusyConnectionGivesWayAfterItsTurn) {
  for (const LaneId lane : {0, 1, 2}) Work(lane);
  EXPECT_THAT(Tick().open, ElementsAre(0, 1));
  Open(0);
  now_ += absl::Milliseconds(1);
  Open(1);
  EXPECT_THAT(Tick().drain, IsEmpty()) << "not before its turn is over";
  now_ += absl::Seconds(2);
  EXPECT_THAT(Tick().drain, ElementsAre(0));
  plan_->OnClosed(0, false, now_);
  const auto actions = Tick();
  EXPECT_THAT(actions.open, ElementsAre(2));
  EXPECT_THAT(actions.drain, ElementsAre(1)) << "0 has work and queued up behind 2";
  plan_->OnClosed(1, false, now_);
  EXPECT_THAT(Tick().open, ElementsAre(0));
}

TEST_F(LanePlanTest, PreferredLaneGoesFirst) {
  Make({.connections_max = 1, .connects_per_second = 1e6});
  for (const LaneId lane : {0, 1, 2}) Work(lane);
  plan_->Prefer(2);
  EXPECT_THAT(Tick().open, ElementsAre(2));
}

TEST_F(LanePlanTest, NewConnectionsAreRateLimited) {
  Make({.connections_max = 100, .connects_per_second = 10});
  for (LaneId lane = 0; lane < 50; ++lane) Work(lane);
  size_t opened = 0;
  for (int i = 0; i < 200; ++i, now_ += absl::Milliseconds(10)) opened += Tick().open.size();
  EXPECT_GE(opened, 18u);
  EXPECT_LE(opened, 24u);
  // A busy hub: half of it.
  plan_->OnBusy();
  opened = 0;
  for (int i = 0; i < 200; ++i, now_ += absl::Milliseconds(10)) opened += Tick().open.size();
  EXPECT_LE(opened, 12u);
}

TEST_F(LanePlanTest, FailuresBackOffUntilProgress) {
  Work(0);
  Tick();
  plan_->OnClosed(0, true, now_);
  EXPECT_THAT(Tick().open, IsEmpty());
  now_ += absl::Milliseconds(500);  // half of 1 s
  EXPECT_THAT(Tick().open, ElementsAre(0));
  plan_->OnClosed(0, true, now_);
  now_ += absl::Milliseconds(999);
  EXPECT_THAT(Tick().open, IsEmpty());
  now_ += absl::Milliseconds(1);
  EXPECT_THAT(Tick().open, ElementsAre(0));
  Open(0);
  plan_->OnProgress(0);
  plan_->OnClosed(0, true, now_);
  now_ += absl::Milliseconds(500);
  EXPECT_THAT(Tick().open, ElementsAre(0));
}

TEST_F(LanePlanTest, OldTokenIsRenewedWhenIdleElseBeforeItEnds) {
  Work(0);
  Tick();
  const absl::Duration from = now_ + absl::Seconds(10);
  const absl::Duration by = now_ + absl::Seconds(20);
  Open(0, from, by);
  now_ = from;
  EXPECT_THAT(Tick().drain, IsEmpty()) << "busy";
  Work(0, false);
  EXPECT_THAT(Tick().drain, ElementsAre(0)) << "an idle moment";
  plan_->OnClosed(0, false, now_);

  Work(1);
  Tick();
  Open(1, from, by);
  now_ = by;
  EXPECT_THAT(Tick().drain, ElementsAre(1)) << "busy, but it is time";
  plan_->OnClosed(1, false, now_);
  EXPECT_THAT(Tick().open, ElementsAre(1)) << "without a wait";
}

TEST_F(LanePlanTest, LaneWithoutWorkIsNotOpened) {
  Work(0);
  Work(0, false);
  EXPECT_THAT(Tick().open, IsEmpty());
  Work(0);
  EXPECT_THAT(Tick().open, ElementsAre(0));
}

// A client that is here waits for what only the hub has: its connection stays, with or without messages.
TEST_F(LanePlanTest, HeldConnectionDoesNotEndWhenIdle) {
  plan_->SetHeld(3, true, false, now_);
  EXPECT_THAT(Tick().open, ElementsAre(3));
  Open(3);
  now_ += absl::Hours(10);
  EXPECT_THAT(Tick().drain, IsEmpty());
  plan_->SetHeld(3, false, false, now_);
  EXPECT_THAT(Tick().drain, IsEmpty());
  now_ += absl::Seconds(60);
  EXPECT_THAT(Tick().drain, ElementsAre(3));
}

TEST_F(LanePlanTest, HeldForOnceItEndsAtOnce) {
  plan_->SetHeld(3, true, false, now_);
  Tick();
  Open(3);
  plan_->SetHeld(3, false, true, now_);
  EXPECT_THAT(Tick().drain, ElementsAre(3));
}

TEST_F(LanePlanTest, HeldConnectionComesBackAfterABreakAndWithANewToken) {
  plan_->SetHeld(3, true, false, now_);
  Tick();
  Open(3, now_ + absl::Minutes(1), now_ + absl::Minutes(2));
  now_ += absl::Minutes(1);
  EXPECT_THAT(Tick().drain, ElementsAre(3)) << "an idle moment";
  plan_->OnClosed(3, false, now_);
  EXPECT_THAT(Tick().open, ElementsAre(3));
  Open(3);
  plan_->Renew(3, now_);
  EXPECT_THAT(Tick().drain, ElementsAre(3));
  plan_->OnClosed(3, true, now_);
  EXPECT_THAT(Tick().open, IsEmpty()) << "a back-off";
  now_ += absl::Seconds(1);
  EXPECT_THAT(Tick().open, ElementsAre(3));
}

// P12: without room messages go first.
TEST_F(LanePlanTest, MessagesTakeThePlaceOfAHeldConnection) {
  for (const LaneId lane : {0, 1}) {
    plan_->SetHeld(lane, true, false, now_);
    Tick();
    Open(lane);
    now_ += absl::Milliseconds(1);
  }
  Work(2);
  EXPECT_THAT(Tick().drain, ElementsAre(0));
  plan_->OnClosed(0, false, now_);
  EXPECT_THAT(Tick().open, ElementsAre(2)) << "before the held one that waits again";
  Open(2);
  now_ += absl::Seconds(50);
  EXPECT_THAT(Tick().drain, IsEmpty()) << "held ones don't push out work, nor each other so soon";
  Work(2, false);
  EXPECT_THAT(Tick().drain, ElementsAre(2));
  plan_->OnClosed(2, false, now_);
  EXPECT_THAT(Tick().open, ElementsAre(0));
}

// P12: more clients than connections: each has its turn.
TEST_F(LanePlanTest, HeldOnesTakeTurns) {
  for (const LaneId lane : {0, 1, 2}) plan_->SetHeld(lane, true, false, now_);
  EXPECT_THAT(Tick().open, ElementsAre(0, 1));
  Open(0);
  now_ += absl::Milliseconds(1);
  Open(1);
  now_ += absl::Seconds(59);
  EXPECT_THAT(Tick().drain, IsEmpty());
  now_ += absl::Seconds(1);
  EXPECT_THAT(Tick().drain, ElementsAre(0));
  plan_->OnClosed(0, false, now_);
  EXPECT_THAT(Tick().open, ElementsAre(2));
}

TEST_F(LanePlanTest, HeldLaneThatGetsMessagesGoesToTheFront) {
  for (const LaneId lane : {0, 1, 2, 3}) plan_->SetHeld(lane, true, false, now_);
  Tick();
  Open(0);
  Open(1);
  Work(3);
  EXPECT_THAT(Tick().drain, ElementsAre(0));
  plan_->OnClosed(0, false, now_);
  EXPECT_THAT(Tick().open, ElementsAre(3));
}

}  // namespace
}  // namespace holdfast::uplink
