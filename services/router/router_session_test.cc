// What outlives connections and the router itself: MQTT sessions, and which messages of a client are stored.
#include <fmt/format.h>

#include "services/router/router_fixture.h"

namespace holdfast::router {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Optional;

const std::string kSuback("\x90\x03\x00\x09\x00", 5);

std::string Subscribe(std::string_view filter) {
  std::string bytes;
  EXPECT_EQ(mqtt::AppendSubscribe(9, {{filter, 0}}, &bytes), mqtt::Error::kOk);
  return bytes;
}

class RouterSessionTest : public RouterTest {
 protected:
  RouterSessionTest() {
    options_.session_checkpoint_interval = absl::Milliseconds(100);
    // Nothing that is not committed is waited for: as near to a crash as an object can be.
    options_.stop_grace = absl::ZeroDuration();
  }
  bool SessionPresent(Peer* peer, std::string_view device) {
    const auto connack = peer->Connect(DeviceConnect(device));
    EXPECT_THAT(connack, Optional(CodeIs(kAccepted)));
    return connack.has_value() && connack->session_present;
  }
};

TEST_F(RouterSessionTest, SubscriptionsAreThereAfterARestart) {
  Start();
  {
    Peer peer = NewPeer();
    EXPECT_FALSE(SessionPresent(&peer, "dev1"));
    peer.Send(Subscribe("$iothub/twin/res/#"));
    EXPECT_EQ(peer.Read(), kSuback);
  }
  StartRouter();
  Peer again = NewPeer();
  EXPECT_TRUE(SessionPresent(&again, "dev1"));
  bool more = false;
  const auto sessions = router_->ListSessions("", 10, &more);
  ASSERT_EQ(sessions.size(), 1u);
  EXPECT_THAT(sessions[0].subscriptions(), ElementsAre("$iothub/twin/res/#"));
  Peer stranger = NewPeer();
  EXPECT_FALSE(SessionPresent(&stranger, "dev2"));
}

// What was granted is on disk; a subscription that is there already is granted at once.
TEST_F(RouterSessionTest, SubackComesWhenTheSubscriptionIsStored) {
  Start();
  Peer peer = Connected("dev1");
  store_.HoldWrites(true);
  peer.Send(Subscribe("$iothub/twin/res/#"));
  EXPECT_TRUE(peer.Silent(absl::Milliseconds(100)));
  peer.Send(Telemetry("dev1", 1, "x"));
  EXPECT_EQ(peer.Read(), Puback(1)) << "nothing else waits";
  store_.HoldWrites(false);
  EXPECT_EQ(peer.Read(), kSuback);
  store_.HoldWrites(true);
  peer.Send(Subscribe("$iothub/twin/res/#"));
  EXPECT_EQ(peer.Read(), kSuback);
  store_.HoldWrites(false);

  Peer clean = Connected("dev2", true);
  store_.HoldWrites(true);
  clean.Send(Subscribe("$iothub/twin/res/#"));
  EXPECT_EQ(clean.Read(), kSuback) << "nothing is stored of it";
  store_.HoldWrites(false);
}

TEST_F(RouterSessionTest, UnsubscribedIsGoneAfterARestart) {
  Start();
  {
    Peer peer = Connected("dev1");
    peer.Send(Subscribe("$iothub/twin/res/#"));
    EXPECT_EQ(peer.Read(), kSuback);
    std::string bytes;
    ASSERT_EQ(mqtt::AppendUnsubscribe(10, {"$iothub/twin/res/#"}, &bytes), mqtt::Error::kOk);
    peer.Send(bytes);
    EXPECT_EQ(peer.Read(), std::string("\xb0\x02\x00\x0a", 4));
  }
  StartRouter();
  Peer again = NewPeer();
  EXPECT_TRUE(SessionPresent(&again, "dev1"));
  bool more = false;
  EXPECT_THAT(router_->ListSessions("", 10, &more)[0].subscriptions(), IsEmpty());
}

// P3: the message is in the queue still, and says itself whose it is.
TEST_F(RouterSessionTest, ResentAfterARestartIsNotStoredTwice) {
  options_.session_checkpoint_interval = absl::Minutes(5);
  Start();
  {
    Peer peer = Connected("dev1");
    peer.Send(Telemetry("dev1", 5, "once"));
    EXPECT_EQ(peer.Read(), Puback(5));
  }
  EXPECT_EQ(store_.checkpoint(), 0u);
  StartRouter();
  Peer again = NewPeer();
  // Of a session without subscriptions nothing else must have been on disk: session-present may be either.
  SessionPresent(&again, "dev1");
  again.Send(Telemetry("dev1", 5, "once", /*dup=*/true) + Telemetry("dev1", 6, "new", /*dup=*/true));
  EXPECT_EQ(again.Read(), Puback(5));
  EXPECT_EQ(again.Read(), Puback(6));
  EXPECT_THAT(store_.Bodies(), ElementsAre("once", "new"));
}

// P3: router has passed the message in the queue, the hub may have it, and it is gone there.
TEST_F(RouterSessionTest, ResentAfterItLeftTheQueueAndARestartIsNotStoredTwice) {
  Start();
  {
    Peer peer = Connected("dev1");
    peer.Send(Telemetry("dev1", 5, "once"));
    EXPECT_EQ(peer.Read(), Puback(5));
  }
  ASSERT_TRUE(Eventually([&] { return store_.checkpoint() == 1; }));
  for (int restarts = 0; restarts < 2; ++restarts) {
    StartRouter();
    Peer again = Connected("dev1");
    again.Send(Telemetry("dev1", 5, "once", /*dup=*/true));
    EXPECT_EQ(again.Read(), Puback(5));
    EXPECT_THAT(store_.Bodies(), ElementsAre("once"));
  }
}

// P1: what was on its way when router died, and never arrived, is not taken for stored, however often the windows were
// written down meanwhile.
TEST_F(RouterSessionTest, WhatWasNotCommittedIsStoredWhenItIsSentAgain) {
  options_.io_threads = 1;
  Start();
  {
    Peer peer = Connected("dev1");
    peer.Send(Telemetry("dev1", 1, "stored"));
    EXPECT_EQ(peer.Read(), Puback(1));
    store_.HoldBody("lost");
    peer.Send(Telemetry("dev1", 2, "lost"));
    ASSERT_TRUE(Eventually([&] { return store_.held() == 1; }));
    ASSERT_TRUE(Eventually([&] { return store_.checkpoint() == 1; }));
  }
  // The connection is gone: its identifiers are still open, and its window is written once more as the append stalls.
  ASSERT_TRUE(Eventually([&] { return router_->Status().sessions() == 0; }));
  const size_t writes = store_.writes();
  ASSERT_TRUE(Eventually([&] { return store_.writes() > writes + 1; }));
  router_.reset();
  store_.HoldBody("");
  EXPECT_THAT(store_.Bodies(), ElementsAre("stored"));
  StartRouter();
  Peer again = Connected("dev1");
  again.Send(Telemetry("dev1", 1, "stored", /*dup=*/true) + Telemetry("dev1", 2, "lost", /*dup=*/true));
  EXPECT_EQ(again.Read(), Puback(1));
  EXPECT_EQ(again.Read(), Puback(2));
  EXPECT_THAT(store_.Bodies(), ElementsAre("stored", "lost"));
}

TEST_F(RouterSessionTest, CleanSessionRemovesWhatWasKept) {
  Start();
  {
    Peer peer = Connected("dev1");
    peer.Send(Telemetry("dev1", 5, "a"));
    EXPECT_EQ(peer.Read(), Puback(5));
  }
  EXPECT_TRUE(Eventually([&] { return store_.Content().count("router/windows/dev1") == 1; }));
  { Peer clean = Connected("dev1", true); }
  EXPECT_TRUE(Eventually([&] { return store_.Content().empty(); }));
  StartRouter();
  Peer again = NewPeer();
  EXPECT_FALSE(SessionPresent(&again, "dev1"));
}

// P12: sessions above the limit are forgotten, the one that left first is the first, in the store too.
TEST_F(RouterSessionTest, KeptSessionsHaveALimitAndAnEnd) {
  options_.io_threads = 1;
  options_.kept_sessions_max = 2;
  Start();
  for (const char* device : {"dev1", "dev2", "dev3"}) {
    {
      Peer peer = Connected(device);
    }
    ASSERT_TRUE(Eventually([&] { return router_->Status().sessions() == 0; }));
  }
  EXPECT_TRUE(Eventually([&] {
    const auto content = store_.Content();
    return content.size() == 2 && content.count("router/sessions/dev1") == 0;
  }));
  options_.session_expiry = absl::Seconds(1);
  StartRouter();
  EXPECT_TRUE(Eventually([&] { return store_.Content().empty(); }));
}

// P11: nothing is left of an identity that is gone.
TEST_F(RouterSessionTest, RemovedIdentityIsForgotten) {
  Start();
  { Peer peer = Connected("dev1"); }
  { Peer peer = Connected("dev2"); }
  ASSERT_TRUE(Eventually([&] { return store_.Content().size() == 2 && router_->Status().sessions() == 0; }));
  auth::v1::WatchIdentitiesResponse removed;
  removed.add_removed()->set_device_id("dev1");
  identities_.Push({});
  identities_.Push(removed);
  EXPECT_TRUE(Eventually([&] { return store_.Content().size() == 1; }));
  EXPECT_THAT(store_.Content(), Contains(Key("router/sessions/dev2")));
}

}  // namespace
}  // namespace holdfast::router
