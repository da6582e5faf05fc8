#include "services/uplink/connectivity.h"

#include <gtest/gtest.h>

namespace holdfast::uplink {
namespace {

using Event = Connectivity::Event;
using Actions = Connectivity::Actions;

// Time is moved by hand; chance is a number of the test's.
class ConnectivityTest : public testing::Test {
 protected:
  Actions On(Event::Kind kind) { return machine_.On({.kind = kind}, now_); }
  Actions Tick(bool owed = false) { return machine_.On({.kind = Event::kTick, .owed = owed}, now_); }
  Actions Fail(Failure failure) {
    return machine_.On({.kind = Event::kFailed, .failure = failure, .reason = "why"}, now_);
  }
  Actions Mode(LinkMode mode) { return machine_.On({.kind = Event::kMode, .reason = "by hand", .mode = mode}, now_); }
  void Online() {
    On(Event::kStart);
    On(Event::kTransport);
    On(Event::kLogin);
    On(Event::kSynced);
    ASSERT_EQ(machine_.state(), LinkState::kOnline);
  }
  // Gives ticks as asked for until an action comes or `limit` has passed.
  Actions TickUntilAction(absl::Duration limit, bool owed = false) {
    const absl::Duration end = now_ + limit;
    for (;;) {
      const Actions actions = Tick(owed);
      if (actions != Actions{}) return actions;
      const absl::Duration next = machine_.next_tick(now_);
      if (next > end) {
        now_ = end;
        return {};
      }
      now_ = std::max(next, now_ + absl::Milliseconds(1));
    }
  }

  absl::Duration now_ = absl::Seconds(1000);
  double random_ = 0.5;
  Connectivity machine_{{}, [this] { return random_; }};
};

// Draining goes on while the hub and the gateway agree, so what is owed is watched as well.
TEST_F(ConnectivityTest, SyncingIsWatchedAndStaysSyncing) {
  On(Event::kStart);
  On(Event::kTransport);
  On(Event::kLogin);
  EXPECT_EQ(TickUntilAction(absl::Seconds(21), true), Actions{.ping = true});
  EXPECT_EQ(machine_.state(), LinkState::kSuspect);
  On(Event::kProgress);
  EXPECT_EQ(machine_.state(), LinkState::kSyncing) << "nothing is agreed upon yet";
  EXPECT_EQ(TickUntilAction(absl::Seconds(21), true), Actions{.ping = true});
  On(Event::kSynced);
  EXPECT_EQ(machine_.state(), LinkState::kSuspect);
  On(Event::kProgress);
  EXPECT_EQ(machine_.state(), LinkState::kOnline);
}

TEST_F(ConnectivityTest, RenewMakesANewConnectionAtOnce) {
  EXPECT_EQ(On(Event::kRenew), Actions{}) << "not started";
  Online();
  EXPECT_EQ(On(Event::kRenew), (Actions{.drop = true, .connect = true}));
  EXPECT_EQ(machine_.state(), LinkState::kConnecting);
  EXPECT_EQ(On(Event::kRenew), Actions{}) << "one is under way";
  On(Event::kTransport);
  On(Event::kLogin);
  EXPECT_EQ(machine_.state(), LinkState::kSyncing);
}

// An outage that is rehearsed: nothing that happens ends it but a word.
TEST_F(ConnectivityTest, OfflineByOverrideIsACutLinkUntilItEnds) {
  Online();
  EXPECT_EQ(Mode(LinkMode::kOffline), Actions{.drop = true});
  EXPECT_EQ(machine_.state(), LinkState::kOffline);
  EXPECT_EQ(machine_.reason(), "by hand");
  EXPECT_EQ(machine_.next_tick(now_), absl::InfiniteDuration()) << "no attempt, no probe";
  now_ += absl::Hours(10);
  for (const auto kind : {Event::kTick, Event::kProbeOk, Event::kNetworkChanged, Event::kNewAddress, Event::kRenew,
                          Event::kLogin, Event::kSynced, Event::kProgress}) {
    EXPECT_EQ(On(kind), Actions{}) << kind;
  }
  EXPECT_EQ(Fail(Failure::kLost), Actions{});
  EXPECT_EQ(machine_.reason(), "by hand");
  EXPECT_EQ(Mode(LinkMode::kAuto), Actions{.connect = true}) << "at once";
  EXPECT_EQ(machine_.state(), LinkState::kConnecting);
  EXPECT_EQ(machine_.reason(), "connecting");
  EXPECT_EQ(Mode(LinkMode::kOffline), Actions{.drop = true}) << "an attempt is given up too";
}

TEST_F(ConnectivityTest, StartWhileOfflineByOverrideConnectsNowhere) {
  EXPECT_EQ(Mode(LinkMode::kOffline), Actions{});
  EXPECT_EQ(On(Event::kStart), Actions{});
  EXPECT_EQ(machine_.state(), LinkState::kOffline);
  EXPECT_EQ(machine_.reason(), "by hand");
  EXPECT_EQ(Mode(LinkMode::kOnline), Actions{.connect = true});
}

// The operator says that the line is there: the wait ends, and no later one is long.
TEST_F(ConnectivityTest, OnlineByOverrideTriesAtOnceAndGoesOnTrying) {
  random_ = 0.99;
  On(Event::kStart);
  for (int i = 0; i < 10; ++i) {  // a back-off of a minute
    Fail(Failure::kRefused);
    now_ = machine_.next_attempt();
    ASSERT_EQ(Tick(), Actions{.connect = true});
  }
  Fail(Failure::kRefused);
  ASSERT_GT(machine_.next_attempt() - now_, absl::Seconds(30));
  EXPECT_EQ(Mode(LinkMode::kAuto), Actions{}) << "nothing was overridden";
  EXPECT_EQ(Mode(LinkMode::kOnline), Actions{.connect = true});
  for (int i = 0; i < 10; ++i) {
    Fail(Failure::kRefused);
    EXPECT_LE(machine_.next_attempt() - now_, absl::Seconds(1));
    now_ = machine_.next_attempt();
    ASSERT_EQ(Tick(), Actions{.connect = true});
  }
  // What is seen stays true: a hub that does not answer is dropped all the same.
  On(Event::kTransport);
  On(Event::kLogin);
  On(Event::kSynced);
  EXPECT_EQ(TickUntilAction(absl::Seconds(21), true), Actions{.ping = true});
  EXPECT_EQ(machine_.state(), LinkState::kSuspect);
  EXPECT_EQ(TickUntilAction(absl::Seconds(6), true), Actions{.drop = true});
  EXPECT_EQ(Mode(LinkMode::kAuto), Actions{}) << "what waits goes on waiting";
}

TEST_F(ConnectivityTest, TheWayUp) {
  EXPECT_EQ(machine_.state(), LinkState::kOffline);
  EXPECT_EQ(On(Event::kStart), Actions{.connect = true});
  EXPECT_EQ(machine_.state(), LinkState::kConnecting);
  EXPECT_EQ(On(Event::kLogin), Actions{});
  EXPECT_EQ(machine_.state(), LinkState::kSyncing);
  EXPECT_TRUE(machine_.connected());
  EXPECT_EQ(On(Event::kSynced), Actions{});
  EXPECT_EQ(machine_.state(), LinkState::kOnline);
  EXPECT_EQ(machine_.reason(), "");
  EXPECT_EQ(On(Event::kStart), Actions{});
}

TEST_F(ConnectivityTest, BackOffDoublesWithFullJitterUpToItsMaximum) {
  On(Event::kStart);
  for (const double limit : {1, 2, 4, 8, 16, 32, 60, 60}) {
    Fail(Failure::kRefused);
    EXPECT_EQ(machine_.next_attempt() - now_, absl::Seconds(limit) * random_);
    EXPECT_EQ(machine_.reason(), "why");
    now_ = machine_.next_attempt();
    EXPECT_EQ(Tick(), Actions{.connect = true});
  }
  On(Event::kLogin);
  On(Event::kSynced);
  On(Event::kProgress);
  Fail(Failure::kLost);
  EXPECT_EQ(machine_.next_attempt() - now_, absl::Seconds(0.5)) << "an acknowledgement starts the back-off anew";
}

TEST_F(ConnectivityTest, RefusedLoginIsNotProbed) {
  On(Event::kStart);
  Fail(Failure::kRefused);
  EXPECT_EQ(TickUntilAction(absl::Seconds(2)), Actions{.connect = true});
  EXPECT_EQ(On(Event::kProbeOk), Actions{});
}

TEST_F(ConnectivityTest, ReachabilityEndsTheWait) {
  random_ = 0.999;
  On(Event::kStart);
  for (int i = 0; i < 10; ++i) {
    Fail(Failure::kUnreachable);
    now_ = machine_.next_attempt();
    Tick();
  }
  Fail(Failure::kUnreachable);
  const absl::Duration began = now_;
  EXPECT_EQ(TickUntilAction(absl::Seconds(30)), Actions{.probe = true});
  EXPECT_EQ(now_ - began, absl::Milliseconds(500));
  EXPECT_EQ(On(Event::kProbeFailed), Actions{});
  EXPECT_EQ(TickUntilAction(absl::Seconds(30)), Actions{.probe = true});
  EXPECT_EQ(On(Event::kProbeOk), Actions{.connect = true});
}

// A server that takes TCP and closes before CONNACK: the port is open all the time, so that an open port means nothing.
TEST_F(ConnectivityTest, OpenPortAloneDoesNotEndTheWaitAfterALostLogin) {
  On(Event::kStart);
  Fail(Failure::kLost);
  EXPECT_EQ(On(Event::kProbeOk), Actions{});
  EXPECT_EQ(On(Event::kProbeFailed), Actions{});
  EXPECT_EQ(On(Event::kProbeOk), Actions{.connect = true}) << "it was away and is back";
}

TEST_F(ConnectivityTest, LostSynIsNotWaitedFor) {
  On(Event::kStart);
  EXPECT_EQ(TickUntilAction(absl::Seconds(2)), Actions{.probe = true});
  EXPECT_EQ(On(Event::kProbeOk), (Actions{.drop = true, .connect = true}));
  On(Event::kTransport);
  now_ += absl::Seconds(1);
  EXPECT_EQ(On(Event::kProbeOk), Actions{}) << "the login is under way";
}

TEST_F(ConnectivityTest, KernelAndResolverEndTheWaitAtOnceButNotInAStorm) {
  random_ = 0.999;
  for (const auto kind : {Event::kNetworkChanged, Event::kNewAddress}) {
    On(Event::kStart);
    Fail(Failure::kUnreachable);
    EXPECT_EQ(On(kind), Actions{}) << "the last attempt was just now";
    now_ += absl::Milliseconds(600);
    EXPECT_EQ(On(kind), Actions{.connect = true});
    EXPECT_EQ(On(kind), Actions{});
  }
}

TEST_F(ConnectivityTest, SilentHubHasAnAttemptUnderWayNearlyAlways) {
  On(Event::kStart);
  for (int i = 0; i < 10; ++i) {
    Fail(Failure::kSilent);
    EXPECT_LE(machine_.next_attempt() - now_, absl::Seconds(0.5));
    now_ = machine_.next_attempt();
    EXPECT_EQ(Tick(), Actions{.connect = true});
  }
}

TEST_F(ConnectivityTest, IdleLinkIsNeverSuspect) {
  Online();
  EXPECT_EQ(TickUntilAction(absl::Minutes(10)), Actions{});
  EXPECT_EQ(machine_.state(), LinkState::kOnline);
}

TEST_F(ConnectivityTest, UnacknowledgedMakesSuspectThenPingThenDrop) {
  Online();
  const absl::Duration began = now_;
  EXPECT_EQ(TickUntilAction(absl::Minutes(1), true), Actions{.ping = true});
  EXPECT_EQ(machine_.state(), LinkState::kSuspect);
  EXPECT_NEAR(absl::ToDoubleSeconds(now_ - began), 20, 0.3);
  EXPECT_EQ(TickUntilAction(absl::Minutes(1), true), Actions{.drop = true});
  EXPECT_NEAR(absl::ToDoubleSeconds(now_ - began), 25, 0.6);
  EXPECT_EQ(machine_.state(), LinkState::kOffline);
}

TEST_F(ConnectivityTest, AcknowledgementsKeepItOnline) {
  Online();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(TickUntilAction(absl::Seconds(19), true), Actions{});
    machine_.On({.kind = Event::kProgress, .owed = true}, now_);
  }
  EXPECT_EQ(TickUntilAction(absl::Seconds(21), true), Actions{.ping = true});
  On(Event::kProgress);
  EXPECT_EQ(machine_.state(), LinkState::kOnline);
}

TEST_F(ConnectivityTest, HubThatAnswersPingsButAcknowledgesNothingIsStalled) {
  Online();
  EXPECT_EQ(TickUntilAction(absl::Minutes(1), true), Actions{.ping = true});
  On(Event::kPong);
  EXPECT_EQ(TickUntilAction(absl::Minutes(2), true), Actions{.drop = true});
  EXPECT_TRUE(machine_.stalled());
  // A new connection to the same hub does not make it well; an acknowledgement does.
  now_ = machine_.next_attempt();
  EXPECT_EQ(Tick(true), Actions{.connect = true});
  On(Event::kLogin);
  On(Event::kSynced);
  Tick(true);
  EXPECT_TRUE(machine_.stalled());
  On(Event::kProgress);
  EXPECT_FALSE(machine_.stalled());
}

// "A hub that is away leaves the process healthy."
TEST_F(ConnectivityTest, AwayIsNotStalled) {
  Online();
  Tick(true);
  now_ += absl::Seconds(61);
  Tick(true);
  EXPECT_TRUE(machine_.stalled());
  Fail(Failure::kLost);
  now_ = machine_.next_attempt();
  Tick(true);
  Fail(Failure::kUnreachable);
  EXPECT_FALSE(machine_.stalled());
  now_ += absl::Hours(5);
  Tick(true);
  On(Event::kLogin);
  Tick(true);
  EXPECT_FALSE(machine_.stalled());
}

TEST_F(ConnectivityTest, StopIsForGood) {
  Online();
  EXPECT_EQ(On(Event::kStop), Actions{.drop = true});
  EXPECT_EQ(On(Event::kNetworkChanged), Actions{});
  EXPECT_EQ(machine_.next_tick(now_), absl::InfiniteDuration());
}

}  // namespace
}  // namespace holdfast::uplink
