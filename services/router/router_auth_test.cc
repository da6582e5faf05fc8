// Who is let in, and who has to go: the router between clients and auth.
#include <fmt/format.h>

#include "services/router/router_fixture.h"

namespace holdfast::router {
namespace {

using ::testing::IsEmpty;
using ::testing::Optional;

auth::v1::WatchIdentitiesResponse Listed(std::initializer_list<std::string_view> devices, uint64_t version,
                                         bool enabled = true) {
  auth::v1::WatchIdentitiesResponse response;
  for (const std::string_view device : devices) {
    auth::v1::Identity* const identity = response.add_changed();
    identity->set_device_id(std::string(device));
    identity->set_version(version);
    identity->set_enabled(enabled);
  }
  return response;
}

// P5: "server unavailable" before the first sync and while auth is away; a client that comes again is let in when it is
// back.
TEST_F(RouterTest, WithoutAJudgeClientsAreToldToComeAgain) {
  Start();
  auth_.SetNotReady(true);
  EXPECT_THAT(NewPeer().Connect(DeviceConnect("dev1")), Optional(CodeIs(mqtt::ConnackCode::kServerUnavailable)));
  auth_.SetNotReady(false);
  auth_server_->Stop(absl::ZeroDuration());
  auth_server_.reset();
  EXPECT_THAT(NewPeer().Connect(DeviceConnect("dev1")), Optional(CodeIs(mqtt::ConnackCode::kServerUnavailable)));
  StartAuth();
  EXPECT_TRUE(Eventually([&] {
    const auto connack = NewPeer().Connect(DeviceConnect("dev1"));
    return connack.has_value() && connack->code == kAccepted;
  }));
}

TEST_F(RouterTest, TokenThatEndsClosesTheConnection) {
  auth_.SetValidFor(absl::Milliseconds(300));
  Start();
  Peer peer = Connected("dev1");
  EXPECT_TRUE(peer.Closed());
}

// P11: a removed identity is out, and so are the modules of a removed device.
TEST_F(RouterTest, RemovedIdentityIsOut) {
  Start();
  Peer dev1 = Connected("dev1");
  Peer dev2 = Connected("dev2");
  auth::v1::WatchIdentitiesResponse all;
  for (const char* id : {"dev1", "dev2"}) {
    auth::v1::Identity* identity = all.add_changed();
    identity->set_device_id(id);
    identity->set_enabled(true);
    identity->set_version(1);
  }
  identities_.Push(all);
  auth::v1::WatchIdentitiesResponse removed;
  removed.add_removed()->set_device_id("dev1");
  identities_.Push(removed);
  EXPECT_TRUE(dev1.Closed());
  dev2.Send(Telemetry("dev2", 1, "still in"));
  EXPECT_EQ(dev2.Read(), Puback(1));
}

// P11: dev1 is disabled after auth has judged it, and router hears of that before it hears of the grant. Without a
// second question the session would stay for ever.
TEST_F(RouterTest, GrantThatWasOvertakenByAChangeIsAskedForAgain) {
  auth_.SetVersion(1);
  Start();
  Peer witness = Connected("witness");
  identities_.Push(Listed({"dev1", "witness"}, 1));
  auth_.OnAsk([&](const auth::v1::AuthenticateRequest& request) {
    if (request.device_id() != "dev1") return;
    auth_.OnAsk(nullptr);
    identities_.Push(Listed({"dev1", "witness"}, 2, /*enabled=*/false));
    EXPECT_TRUE(witness.Closed()) << "now router knows";
    // The answer on its way is of version 1; from now on auth says no.
    auth_.DenyFromNextOn("dev1");
  });
  EXPECT_THAT(NewPeer().Connect(DeviceConnect("dev1")), Optional(CodeIs(mqtt::ConnackCode::kNotAuthorized)));
  EXPECT_EQ(auth_.asked("dev1"), 2u);
}

TEST_F(RouterTest, GrantThatIsAlwaysOlderThanWhatIsKnownMakesTheClientComeAgain) {
  auth_.SetVersion(1);
  Start();
  identities_.Push(Listed({"dev1", "dev2"}, 1));
  Peer dev2 = Connected("dev2");
  identities_.Push(Listed({"dev1", "dev2"}, 2));
  EXPECT_TRUE(dev2.Closed());
  EXPECT_THAT(NewPeer().Connect(DeviceConnect("dev1")), Optional(CodeIs(mqtt::ConnackCode::kServerUnavailable)));
  EXPECT_EQ(auth_.asked("dev1"), 3u);
  auth_.SetVersion(2);
  Peer dev1 = Connected("dev1");
}

// A client that has come back with its new key before router was told of the change is not closed for it.
TEST_F(RouterTest, GrantAsNewAsTheChangeStays) {
  auth_.SetVersion(1);
  Start();
  identities_.Push(Listed({"dev1", "witness"}, 1));
  Peer witness = Connected("witness");
  auth_.SetVersion(2);
  Peer dev1 = Connected("dev1");
  identities_.Push(Listed({"dev1", "witness"}, 2));
  EXPECT_TRUE(witness.Closed());
  dev1.Send(Telemetry("dev1", 1, "still in"));
  EXPECT_EQ(dev1.Read(), Puback(1));
}

// P11: what changed while the watch was down is found in its next list, also for who was never listed before.
TEST_F(RouterTest, FirstListEndsSessionsWhoseGrantIsOlder) {
  auth_.SetVersion(1);
  Start();
  Peer dev1 = Connected("dev1");
  identities_.Push(Listed({"dev1"}, 2));
  EXPECT_TRUE(dev1.Closed());
}

// While auth asks the hub about some clients, for seconds, others come and go as ever, and the former get their answer.
TEST_F(RouterTest, ClientsThatWaitForAuthDoNotSlowOthers) {
  Start();
  auth_.Hold(true);
  std::vector<Peer> waiting;
  for (int i = 0; i < 100; ++i) {
    waiting.push_back(NewPeer());
    const std::string id = fmt::format("unknown{}", i);
    waiting.back().Send(Bytes(DeviceConnect(id)));
  }
  ASSERT_TRUE(Eventually([&] { return auth_.held() == 100; }));
  const absl::Time start = absl::Now();
  for (int i = 0; i < 20; ++i) {
    const std::string id = fmt::format("known{}", i);
    Peer peer = Connected(id);
    peer.Send(Telemetry(id, 1, "x"));
    EXPECT_EQ(peer.Read(), Puback(1));
  }
  EXPECT_LT(absl::Now() - start, absl::Seconds(2));
  auth_.Hold(false);
  for (Peer& peer : waiting) EXPECT_EQ(peer.Read(), std::string("\x20\x02\x00\x00", 4));
}

// Auth is waited for as long as auth_timeout, and not cut off by connect_timeout, which is for the client.
TEST_F(RouterTest, ConnectTimeoutDoesNotCutOffAuth) {
  options_.connect_timeout = absl::Milliseconds(200);
  Start();
  auth_.Hold(true);
  Peer peer = NewPeer();
  peer.Send(Bytes(DeviceConnect("unknown1")));
  EXPECT_TRUE(peer.Silent(absl::Milliseconds(400)));
  auth_.Hold(false);
  EXPECT_EQ(peer.Read(), std::string("\x20\x02\x00\x00", 4));
  peer.Send(Telemetry("unknown1", 1, "x"));
  EXPECT_EQ(peer.Read(), Puback(1));
}

// P12: a flood of bad credentials is closed unheard, and auth is not asked; who is in stays in, and it ends by itself.
TEST_F(RouterTest, FloodOfFailedConnectsFromAnAddressIsNotHeard) {
  options_.failed_connects_burst = 5;
  options_.failed_connects_per_second = 2;
  Start();
  Peer inside = Connected("dev1");
  mqtt::Connect wrong = DeviceConnect("dev2");
  wrong.password = "bad";
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(NewPeer().Connect(wrong), Optional(CodeIs(mqtt::ConnackCode::kNotAuthorized)));
  }
  Peer unheard = NewPeer();
  EXPECT_TRUE(unheard.Closed());
  EXPECT_EQ(auth_.asked("dev2"), 5u);
  inside.Send(Telemetry("dev1", 1, "still in"));
  EXPECT_EQ(inside.Read(), Puback(1));
  EXPECT_TRUE(Eventually([&] {
    const auto connack = NewPeer().Connect(DeviceConnect("dev3"));
    return connack.has_value() && connack->code == kAccepted;
  }));
}

// Only failures count: a site reconnects as fast as it can. And what is the gateway's fault is no failure of a
// client's.
TEST_F(RouterTest, ClientsThatAreLetInOrToldToComeAgainAreNotLimited) {
  options_.failed_connects_burst = 2;
  options_.failed_connects_per_second = 1;
  Start();
  for (int i = 0; i < 20; ++i) Connected("dev1");
  auth_.SetNotReady(true);
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(NewPeer().Connect(DeviceConnect("dev1")), Optional(CodeIs(mqtt::ConnackCode::kServerUnavailable)));
  }
  auth_.SetNotReady(false);
  for (int i = 0; i < 5; ++i) NewPeer().Close();  // only looked at
  Connected("dev1");
}

mqtt::Connect OnBehalf(std::string_view device, std::string_view user_name) {
  mqtt::Connect connect = DeviceConnect(device);
  connect.user_name = user_name;
  return connect;
}

// P2: what a child gateway sends for a client is the client's.
TEST_F(RouterTest, ChildGatewaySpeaksForAClient) {
  Start();
  Peer peer = NewPeer();
  EXPECT_THAT(peer.Connect(OnBehalf("leaf", "hub/leaf/?api-version=2021-04-12&auth-chain=leaf%3Bchild%3Btop")),
              Optional(CodeIs(kAccepted)));
  EXPECT_EQ(auth_.request().auth_chain(), "leaf;child;top");
  EXPECT_EQ(auth_.request().device_id(), "leaf");
  peer.Send(Telemetry("leaf", 1, "on behalf"));
  EXPECT_EQ(peer.Read(), Puback(1));
  bool more = false;
  const auto sessions = router_->ListSessions("", 10, &more);
  ASSERT_EQ(sessions.size(), 1u);
  EXPECT_EQ(sessions[0].client_id(), "leaf");
  EXPECT_EQ(sessions[0].by_gateway(), "top");
}

// P11: the grant ends when any link of the chain does.
TEST_F(RouterTest, ClientOfARemovedGatewayIsOut) {
  Start();
  const auto connect = OnBehalf("leaf", "hub/leaf/?api-version=2021-04-12&auth-chain=leaf%3Bchild%3Btop");
  uint64_t version = 1;
  for (const char* link : {"child", "top"}) {
    auth_.SetVersion(version);
    Peer peer = NewPeer();
    auto connack = peer.Connect(connect);
    // Until router has heard that the other link is enabled again.
    for (const absl::Time end = absl::Now() + absl::Seconds(20); absl::Now() < end; connack = peer.Connect(connect)) {
      if (connack && connack->code == kAccepted) break;
      peer = NewPeer();
    }
    ASSERT_THAT(connack, Optional(CodeIs(kAccepted)));
    identities_.Push(Listed({link}, ++version, /*enabled=*/false));
    EXPECT_TRUE(peer.Closed()) << link;
    identities_.Push(Listed({link}, ++version));
  }
}

// Two connections of one client, direct and on its behalf: the later one counts, as with any two.
TEST_F(RouterTest, ClientThatComesItselfTakesOverFromItsGatewayAndBack) {
  Start();
  const auto connect = OnBehalf("leaf", "hub/leaf/?api-version=2021-04-12&auth-chain=leaf%3Btop");
  Peer on_behalf = NewPeer();
  ASSERT_THAT(on_behalf.Connect(connect), Optional(CodeIs(kAccepted)));
  Peer direct = Connected("leaf");
  EXPECT_TRUE(on_behalf.Closed());
  Peer again = NewPeer();
  ASSERT_THAT(again.Connect(connect), Optional(CodeIs(kAccepted)));
  EXPECT_TRUE(direct.Closed());
}

}  // namespace
}  // namespace holdfast::router
