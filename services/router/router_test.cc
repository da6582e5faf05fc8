// The router as a client sees it: real sockets, a store and an auth that do as they are told.
#include "services/router/router.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/router/router_fixture.h"

namespace holdfast::router {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;

// P1: the PUBACK comes after the commit, and not before.
TEST_F(RouterTest, PubackComesAfterTheCommit) {
  Start();
  Peer peer = Connected("dev1");
  store_.Hold(true);
  peer.Send(Telemetry("dev1", 7, "hello"));
  ASSERT_TRUE(Eventually([&] { return store_.held() == 1; }));
  EXPECT_TRUE(peer.Silent(absl::Milliseconds(100)));
  store_.Hold(false);
  EXPECT_EQ(peer.Read(), Puback(7));
  const auto messages = store_.Messages();
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].device_id(), "dev1");
  EXPECT_EQ(messages[0].body(), "hello");
  EXPECT_GT(messages[0].received_unix_ms(), 0);
  EXPECT_EQ(store_.Requests()[0].queue(), "upstream");
  EXPECT_TRUE(store_.Requests()[0].wait_for_space());
}

// P2
TEST_F(RouterTest, PubacksAndMessagesKeepTheOrderOfPublishing) {
  Start();
  Peer peer = Connected("dev1");
  std::string bytes;
  std::vector<std::string> bodies;
  for (uint16_t id = 1; id <= 900; ++id) {
    bodies.push_back(fmt::format("m{}", id));
    bytes += Telemetry("dev1", id, bodies.back());
  }
  peer.Send(bytes);
  for (uint16_t id = 1; id <= 900; ++id) ASSERT_EQ(peer.Read(), Puback(id));
  EXPECT_EQ(store_.Bodies(), bodies);
}

TEST_F(RouterTest, WhatIsPipelinedBehindConnectIsTakenAfterIt) {
  Start();
  Peer peer = NewPeer();
  std::string pings;
  mqtt::AppendPingreq(&pings);
  peer.Send(Bytes(DeviceConnect("dev1")) + Telemetry("dev1", 1, "a") + pings);
  EXPECT_EQ(peer.Read()[0], static_cast<char>(0x20)) << "CONNACK first";
  std::string pong;
  mqtt::AppendPingresp(&pong);
  EXPECT_THAT((std::vector<std::string>{peer.Read(), peer.Read()}), ::testing::UnorderedElementsAre(Puback(1), pong));
}

TEST_F(RouterTest, PacketsThatArriveByteByByteAndOnesThatAreLarge) {
  Start();
  Peer peer = NewPeer();
  for (const char c : Bytes(DeviceConnect("dev1"))) peer.Send({&c, 1});
  EXPECT_EQ(peer.Read().size(), 4u);
  for (const char c : Telemetry("dev1", 1, "slow")) peer.Send({&c, 1});
  EXPECT_EQ(peer.Read(), Puback(1));
  const std::string large(262'100, 'x');
  peer.Send(Telemetry("dev1", 2, large) + Telemetry("dev1", 3, "after"));
  EXPECT_EQ(peer.Read(), Puback(2));
  EXPECT_EQ(peer.Read(), Puback(3));
  EXPECT_THAT(store_.Bodies(), ElementsAre("slow", large, "after"));
}

TEST_F(RouterTest, ConnectThatIsRefusedGetsItsCode) {
  Start();
  mqtt::Connect wrong = DeviceConnect("dev1");
  wrong.password = "bad";
  Peer denied = NewPeer();
  EXPECT_THAT(denied.Connect(wrong), Optional(CodeIs(mqtt::ConnackCode::kNotAuthorized)));
  EXPECT_TRUE(denied.Closed());

  mqtt::Connect anonymous = DeviceConnect("dev1");
  anonymous.client_id = "";
  anonymous.clean_session = true;
  EXPECT_THAT(NewPeer().Connect(anonymous), Optional(CodeIs(mqtt::ConnackCode::kIdentifierRejected)));

  mqtt::Connect other = DeviceConnect("dev1");
  other.client_id = "dev2";
  EXPECT_THAT(NewPeer().Connect(other), Optional(CodeIs(mqtt::ConnackCode::kNotAuthorized)));

  std::string mqtt5 = Bytes(DeviceConnect("dev1"));
  mqtt5[mqtt5.find("MQTT") + 4] = 5;
  Peer level = NewPeer();
  level.Send(mqtt5);
  EXPECT_EQ(level.Read(), std::string("\x20\x02\x00\x01", 4));
  EXPECT_TRUE(level.Closed());

  Peer no_connect = NewPeer();
  no_connect.Send(Telemetry("dev1", 1, "x"));
  EXPECT_TRUE(no_connect.Closed());
  EXPECT_THAT(store_.Bodies(), IsEmpty());
}

// P12: a connection that says nothing does not stay.
TEST_F(RouterTest, NoConnectInTimeIsClosed) {
  options_.connect_timeout = absl::Milliseconds(150);
  Start();
  Peer silent = NewPeer();
  EXPECT_TRUE(silent.Closed());
  Peer half = NewPeer();
  half.Send(Bytes(DeviceConnect("dev1")).substr(0, 5));
  EXPECT_TRUE(half.Closed());
}

TEST_F(RouterTest, SecondConnectCloses) {
  Start();
  Peer peer = Connected("dev1");
  peer.Send(Bytes(DeviceConnect("dev1")));
  EXPECT_TRUE(peer.Closed());
}

TEST_F(RouterTest, TheSameClientTakesOverItsSession) {
  Start();
  Peer first = Connected("dev1");
  Peer other = Connected("dev2");
  Peer second = NewPeer();
  EXPECT_THAT(second.Connect(DeviceConnect("dev1")), Optional(::testing::Field(&mqtt::Connack::session_present, true)));
  EXPECT_TRUE(first.Closed());
  second.Send(Telemetry("dev1", 1, "from the second"));
  EXPECT_EQ(second.Read(), Puback(1));
  other.Send(Telemetry("dev2", 1, "still here"));
  EXPECT_EQ(other.Read(), Puback(1));
}

TEST_F(RouterTest, SilentFor1_5TimesTheKeepAliveIsClosed) {
  Start();
  mqtt::Connect connect = DeviceConnect("dev1");
  connect.keep_alive_seconds = 1;
  Peer peer = NewPeer();
  ASSERT_THAT(peer.Connect(connect), Optional(CodeIs(kAccepted)));
  const absl::Time start = absl::Now();
  EXPECT_TRUE(peer.Closed());
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(1450));
}

// P3: a message whose PUBACK was lost is recognised when the client sends it again.
TEST_F(RouterTest, ResentAfterAReconnectIsAcknowledgedAndNotStoredTwice) {
  Start();
  {
    Peer peer = Connected("dev1");
    peer.Send(Telemetry("dev1", 5, "once"));
    EXPECT_EQ(peer.Read(), Puback(5));
  }
  Peer again = Connected("dev1");
  again.Send(Telemetry("dev1", 5, "once", /*dup=*/true) + Telemetry("dev1", 6, "new", /*dup=*/true));
  EXPECT_EQ(again.Read(), Puback(5));
  EXPECT_EQ(again.Read(), Puback(6));
  EXPECT_THAT(store_.Bodies(), ElementsAre("once", "new"));
}

// P1, P3: the first copy is not on disk yet: no PUBACK until it is, and no second copy.
TEST_F(RouterTest, ResentWhileTheFirstCopyIsOnItsWayWaitsForIt) {
  Start();
  store_.Hold(true);
  {
    Peer peer = Connected("dev1");
    peer.Send(Telemetry("dev1", 5, "once"));
    ASSERT_TRUE(Eventually([&] { return store_.held() == 1; }));
  }
  Peer again = Connected("dev1");
  again.Send(Telemetry("dev1", 5, "once", /*dup=*/true));
  EXPECT_TRUE(again.Silent(absl::Milliseconds(100)));
  store_.Hold(false);
  EXPECT_EQ(again.Read(), Puback(5));
  EXPECT_THAT(store_.Bodies(), ElementsAre("once"));
}

// P3
TEST_F(RouterTest, CleanSessionForgets) {
  Start();
  {
    Peer peer = Connected("dev1");
    peer.Send(Telemetry("dev1", 5, "a"));
    EXPECT_EQ(peer.Read(), Puback(5));
  }
  Peer clean = NewPeer();
  EXPECT_THAT(clean.Connect(DeviceConnect("dev1", true)),
              Optional(::testing::Field(&mqtt::Connack::session_present, false)));
  clean.Send(Telemetry("dev1", 5, "a", /*dup=*/true));
  EXPECT_EQ(clean.Read(), Puback(5));
  EXPECT_THAT(store_.Bodies(), ElementsAre("a", "a"));
}

// P1, P2: what was not answered when the store died is sent again, in order, and acknowledged only then.
TEST_F(RouterTest, StoreThatDiesBeforeTheCommitLosesNothing) {
  Start();
  Peer peer = Connected("dev1");
  store_.Hold(true);
  for (uint16_t id = 1; id <= 20; ++id) {
    peer.Send(Telemetry("dev1", id, fmt::format("m{}", id)));
    if (id == 1) {
      ASSERT_TRUE(Eventually([&] { return store_.held() == 1; }));
    }
  }
  ASSERT_TRUE(Eventually([&] { return router_->Status().received() == 20; }));
  store_.Break(/*committed=*/false);
  EXPECT_TRUE(peer.Silent(absl::Milliseconds(100)));
  store_.Hold(false);
  std::vector<std::string> expected;
  for (uint16_t id = 1; id <= 20; ++id) {
    ASSERT_EQ(peer.Read(), Puback(id));
    expected.push_back(fmt::format("m{}", id));
  }
  EXPECT_EQ(store_.Bodies(), expected);
}

// P3: a store that dies between commit and answer: what it committed is found there, acknowledged, and not stored
// twice.
TEST_F(RouterTest, StoreThatDiesAfterTheCommitIsNotGivenTheSameAgain) {
  Start();
  Peer peer = Connected("dev1");
  peer.Send(Telemetry("dev1", 1, "known"));
  ASSERT_EQ(peer.Read(), Puback(1));
  store_.Hold(true);
  peer.Send(Telemetry("dev1", 2, "committed"));
  ASSERT_TRUE(Eventually([&] { return store_.held() == 1; }));
  store_.Break(/*committed=*/true);
  EXPECT_EQ(peer.Read(), Puback(2));
  store_.Hold(false);
  peer.Send(Telemetry("dev1", 3, "after"));
  EXPECT_EQ(peer.Read(), Puback(3));
  EXPECT_THAT(store_.Bodies(), ElementsAre("known", "committed", "after"));
}

TEST_F(RouterTest, StoreThatSaysLaterIsAskedAgainAndOneThatSaysNeverClosesTheConnection) {
  Start();
  Peer peer = Connected("dev1");
  store_.FailNext(grpc::StatusCode::UNAVAILABLE);
  peer.Send(Telemetry("dev1", 1, "later"));
  EXPECT_EQ(peer.Read(), Puback(1));
  store_.FailNext(grpc::StatusCode::INVALID_ARGUMENT);
  peer.Send(Telemetry("dev1", 2, "never"));
  EXPECT_TRUE(peer.Closed());
  EXPECT_THAT(store_.Bodies(), ElementsAre("later"));
}

// P2: requests wait for space, so "no room" is said of a block that can never fit. To send it again would put it behind
// all that is committed meanwhile, for ever.
TEST_F(RouterTest, BlockThatCanNeverFitIsNotSentAgainAndAgain) {
  Start();
  Peer peer = Connected("dev1"), other = Connected("dev2");
  store_.FailNext(grpc::StatusCode::RESOURCE_EXHAUSTED);
  peer.Send(Telemetry("dev1", 1, "too large"));
  EXPECT_TRUE(peer.Closed());
  other.Send(Telemetry("dev2", 1, "fits"));
  EXPECT_EQ(other.Read(), Puback(1));
  EXPECT_THAT(store_.Bodies(), ElementsAre("fits"));
}

// P2: a store that can't take a block now takes none behind it on the same stream: they go out again together, in
// order.
TEST_F(RouterTest, BlocksBehindOneThatFailedStayBehindIt) {
  options_.io_threads = 1;
  Start();
  Peer peer = Connected("dev1");
  store_.Hold(true);
  std::vector<std::string> bodies;
  for (uint16_t id = 1; id <= 6; ++id) {
    bodies.push_back(fmt::format("m{}", id));
    peer.Send(Telemetry("dev1", id, bodies.back()));
    ASSERT_TRUE(Eventually([&] { return router_->Status().received() == id; }));
  }
  store_.FailNext(grpc::StatusCode::UNAVAILABLE);
  store_.Hold(false);
  for (uint16_t id = 1; id <= 6; ++id) ASSERT_EQ(peer.Read(), Puback(id));
  EXPECT_EQ(store_.Bodies(), bodies);
}

TEST_F(RouterTest, ForbiddenTopicsQos2AndMalformedBagsCloseAndStoreNothing) {
  options_.packet_bytes_max = 1024;
  Start();
  for (const std::string topic :
       {"devices/dev2/messages/events/", "devices/dev1/messages/events/a=1&a=2", "devices/dev1/messages/events/=x",
        "somewhere", "devices/dev1/modules/m/messages/events/", "$iothub/twin/GET/"}) {
    Peer peer = Connected("dev1");
    std::string bytes;
    ASSERT_EQ(mqtt::AppendPublish({.topic = topic, .payload = "x", .packet_id = 1, .qos = 1}, &bytes),
              mqtt::Error::kOk);
    peer.Send(bytes);
    EXPECT_EQ(peer.Read(), "") << topic << " must not be acknowledged";
    EXPECT_TRUE(peer.Closed()) << topic;
  }
  std::string qos2;
  ASSERT_EQ(mqtt::AppendPublish({.topic = "devices/dev1/messages/events/", .packet_id = 1, .qos = 2}, &qos2),
            mqtt::Error::kOk);
  Peer peer = Connected("dev1");
  peer.Send(qos2);
  EXPECT_TRUE(peer.Closed());
  Peer large = Connected("dev1");
  large.Send(Telemetry("dev1", 1, std::string(1025, 'x')));
  EXPECT_TRUE(large.Closed());
  EXPECT_THAT(store_.Bodies(), IsEmpty());
}

TEST_F(RouterTest, Qos0IsStoredTooAndPingIsAnswered) {
  Start();
  Peer peer = Connected("dev1");
  std::string ping;
  mqtt::AppendPingreq(&ping);
  peer.Send(Telemetry("dev1", 0, "quiet") + ping);
  std::string pong;
  mqtt::AppendPingresp(&pong);
  EXPECT_EQ(peer.Read(), pong);
  EXPECT_TRUE(Eventually([&] { return store_.Bodies() == std::vector<std::string>{"quiet"}; }));
}

TEST_F(RouterTest, SubscriptionsAreGrantedByTheContractAndKept) {
  Start();
  {
    Peer peer = Connected("dev1");
    std::string bytes;
    ASSERT_EQ(mqtt::AppendSubscribe(
                  9, {{"$iothub/twin/res/#", 0}, {"devices/dev1/messages/devicebound/#", 2}, {"#", 1}}, &bytes),
              mqtt::Error::kOk);
    peer.Send(bytes);
    EXPECT_EQ(peer.Read(), std::string("\x90\x05\x00\x09\x00\x01\x80", 7));
  }
  Peer again = NewPeer();
  EXPECT_THAT(again.Connect(DeviceConnect("dev1")), Optional(::testing::Field(&mqtt::Connack::session_present, true)));
  bool more = false;
  const auto sessions = router_->ListSessions("", 10, &more);
  ASSERT_EQ(sessions.size(), 1u);
  EXPECT_THAT(sessions[0].subscriptions(), ElementsAre("$iothub/twin/res/#", "devices/dev1/messages/devicebound/#"));

  // The kept subscription works: a twin request gets its answer, with the identifier as it was sent.
  std::string get;
  ASSERT_EQ(mqtt::AppendPublish({.topic = "$iothub/twin/GET/?$rid=aB-1", .packet_id = 3, .qos = 1}, &get),
            mqtt::Error::kOk);
  again.Send(get);
  std::string answer;
  ASSERT_EQ(mqtt::AppendPublish({.topic = "$iothub/twin/res/200/?$rid=aB-1",
                                 .payload = R"({"desired":{"$version":0},"reported":{"$version":0}})"},
                                &answer),
            mqtt::Error::kOk);
  EXPECT_THAT((std::vector<std::string>{again.Read(), again.Read()}),
              ::testing::UnorderedElementsAre(answer, Puback(3)));
}

TEST_F(RouterTest, WillIsStoredWhenTheClientGoesWithoutGoodbye) {
  Start();
  mqtt::Connect connect = DeviceConnect("dev1");
  connect.has_will = true;
  connect.will = {.topic = "devices/dev1/messages/events/a=b", .message = "I am gone", .qos = 1};
  {
    Peer peer = NewPeer();
    ASSERT_THAT(peer.Connect(connect), Optional(CodeIs(kAccepted)));
    std::string goodbye;
    mqtt::AppendDisconnect(&goodbye);
    peer.Send(goodbye);
    EXPECT_TRUE(peer.Closed());
  }
  EXPECT_THAT(store_.Messages(), IsEmpty());
  {
    Peer peer = NewPeer();
    ASSERT_THAT(peer.Connect(connect), Optional(CodeIs(kAccepted)));
  }
  ASSERT_TRUE(Eventually([&] { return store_.Messages().size() == 1; }));
  const auto will = store_.Messages()[0];
  EXPECT_EQ(will.kind(), message::v1::Envelope::KIND_WILL);
  EXPECT_EQ(will.body(), "I am gone");
  EXPECT_EQ(will.property_bag(), "a=b");
}

// P8, P12: while the store does not answer, what is held stays within the limit, and nothing is lost or acknowledged.
TEST_F(RouterTest, BackPressureStopsReadingAndEndsByItself) {
  options_.pending_bytes_max = 64 * 1024;
  Start();
  Peer peer = Connected("dev1");
  store_.Hold(true);
  constexpr uint16_t kMessages = 600;
  const std::string body(1000, 'b');
  std::thread sender([&] {
    for (uint16_t id = 1; id <= kMessages; ++id) peer.Send(Telemetry("dev1", id, body));
  });
  EXPECT_TRUE(Eventually([&] { return router_->Status().paused(); }));
  EXPECT_LT(router_->Status().received(), 70u);
  EXPECT_EQ(router_->Status().acknowledged(), 0u);
  store_.Hold(false);
  for (uint16_t id = 1; id <= kMessages; ++id) ASSERT_EQ(peer.Read(), Puback(id));
  sender.join();
  EXPECT_TRUE(Eventually([&] { return !router_->Status().paused(); }));
  EXPECT_EQ(store_.Bodies().size(), kMessages);
}

TEST_F(RouterTest, SessionAboveItsInflightLimitIsNotReadAndGoesOn) {
  options_.session_inflight_max = 10;
  Start();
  Peer peer = Connected("dev1");
  store_.Hold(true);
  std::string bytes;
  for (uint16_t id = 1; id <= 100; ++id) bytes += Telemetry("dev1", id, "x");
  peer.Send(bytes);
  ASSERT_TRUE(Eventually([&] { return router_->Status().received() == 10; }));
  store_.Hold(false);
  for (uint16_t id = 1; id <= 100; ++id) ASSERT_EQ(peer.Read(), Puback(id));
}

TEST_F(RouterTest, OperatorClosesASession) {
  Start();
  Peer peer = Connected("dev1");
  EXPECT_TRUE(router_->CloseSession("dev1").ok());
  EXPECT_TRUE(peer.Closed());
  EXPECT_EQ(router_->CloseSession("dev1").code(), absl::StatusCode::kNotFound);
}

TEST_F(RouterTest, SessionsArePagedInOrder) {
  Start();
  Peer c = Connected("c"), a = Connected("a"), b = Connected("b");
  bool more = false;
  auto page = router_->ListSessions("", 2, &more);
  ASSERT_EQ(page.size(), 2u);
  EXPECT_TRUE(more);
  EXPECT_EQ(page[0].client_id(), "a");
  page = router_->ListSessions(page[1].client_id(), 2, &more);
  ASSERT_EQ(page.size(), 1u);
  EXPECT_FALSE(more);
  EXPECT_EQ(page[0].client_id(), "c");
}

// P12
TEST_F(RouterTest, ConnectionsAboveTheLimitAreClosed) {
  options_.connections_max = 2;
  Start();
  Peer a = Connected("a"), b = Connected("b");
  Peer c = NewPeer();
  EXPECT_TRUE(c.Closed());
  a.Close();
  EXPECT_TRUE(Eventually([&] {
    const auto connack = NewPeer().Connect(DeviceConnect("c"));
    return connack.has_value() && connack->code == kAccepted;
  }));
}

// P2: a client of a clean session that comes back while its messages are being committed stays behind them. Two
// threads, two streams to the store: on the other one its new message would be first.
TEST_F(RouterTest, CleanSessionThatComesBackDuringACommitStaysInOrder) {
  Start();
  Peer first_thread = Connected("a", true);
  store_.HoldBody("older");
  {
    Peer second_thread = Connected("b", true);
    second_thread.Send(Telemetry("b", 1, "older"));
    ASSERT_TRUE(Eventually([&] { return store_.held() == 1; }));
  }
  ASSERT_TRUE(Eventually([&] { return router_->Status().sessions() == 1; }));
  // Now there are as many on either, and the first is taken.
  Peer balance = Connected("c", true);
  Peer again = Connected("b", true);
  again.Send(Telemetry("b", 1, "newer"));
  EXPECT_TRUE(again.Silent(absl::Milliseconds(100)));
  store_.HoldBody("");
  EXPECT_EQ(again.Read(), Puback(1));
  EXPECT_THAT(store_.Bodies(), ElementsAre("older", "newer"));
}

// While the store does not answer, a client that waits for its PUBACKs gets its pings answered, in the order of nothing
// but themselves, and once.
TEST_F(RouterTest, PingIsAnsweredWhileThereIsBackPressure) {
  options_.pending_bytes_max = 64 * 1024;
  Start();
  mqtt::Connect connect = DeviceConnect("dev1");
  connect.keep_alive_seconds = 1;
  Peer peer = NewPeer();
  ASSERT_THAT(peer.Connect(connect), Optional(CodeIs(kAccepted)));
  store_.Hold(true);
  const std::string body(1000, 'b');
  std::string bytes;
  constexpr uint16_t kMessages = 100;
  for (uint16_t id = 1; id <= kMessages; ++id) bytes += Telemetry("dev1", id, body);
  std::string ping, pong, goodbye;
  mqtt::AppendPingreq(&ping);
  mqtt::AppendPingresp(&pong);
  peer.Send(bytes + ping);
  EXPECT_EQ(peer.Read(), pong);
  EXPECT_TRUE(router_->Status().paused());
  // Longer than 1.5 times the keep-alive, pinging as a client does.
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(peer.Silent(absl::Milliseconds(500)));
    peer.Send(ping);
    ASSERT_EQ(peer.Read(), pong);
  }
  mqtt::AppendDisconnect(&goodbye);
  peer.Send(ping + Telemetry("dev1", kMessages + 1, "last") + ping);
  EXPECT_EQ(peer.Read(), pong);
  EXPECT_EQ(peer.Read(), pong);
  store_.Hold(false);
  for (uint16_t id = 1; id <= kMessages + 1; ++id) ASSERT_EQ(peer.Read(), Puback(id));
  EXPECT_TRUE(peer.Silent(absl::Milliseconds(50)));
  EXPECT_EQ(store_.Bodies().size(), kMessages + 1u);
}

// A goodbye that is read while paused is a goodbye: no will.
TEST_F(RouterTest, GoodbyeDuringBackPressureIsHeardInItsTurn) {
  options_.session_inflight_max = 2;
  Start();
  mqtt::Connect connect = DeviceConnect("dev1");
  connect.has_will = true;
  connect.will = {.topic = "devices/dev1/messages/events/", .message = "I am gone", .qos = 1};
  Peer peer = NewPeer();
  ASSERT_THAT(peer.Connect(connect), Optional(CodeIs(kAccepted)));
  store_.Hold(true);
  std::string goodbye;
  mqtt::AppendDisconnect(&goodbye);
  peer.Send(Telemetry("dev1", 1, "a") + Telemetry("dev1", 2, "b"));
  ASSERT_TRUE(Eventually([&] { return router_->Status().received() == 2; }));
  peer.Send(Telemetry("dev1", 3, "c") + goodbye);
  peer.Close();
  store_.Hold(false);
  EXPECT_TRUE(Eventually([&] { return router_->Status().sessions() == 0; }));
  EXPECT_TRUE(Eventually([&] { return store_.Bodies().size() == 3; }));
  router_->Stop();
  EXPECT_THAT(store_.Bodies(), ElementsAre("a", "b", "c"));
}

// P1: a stop acknowledges what is committed within the grace.
TEST_F(RouterTest, StopFinishesWhatIsBeingCommitted) {
  Start();
  Peer peer = Connected("dev1");
  store_.Hold(true);
  peer.Send(Telemetry("dev1", 1, "last"));
  ASSERT_TRUE(Eventually([&] { return store_.held() == 1; }));
  std::thread stopper([&] { router_->Stop(); });
  store_.Hold(false);
  EXPECT_EQ(peer.Read(), Puback(1));
  EXPECT_TRUE(peer.Closed());
  stopper.join();
}

TEST_F(RouterTest, AddressesThatCannotBeServedSaySo) {
  Start();
  const auto create = [&](const std::string& address) {
    RouterOptions options = options_;
    options.mqtt_address = address;
    return Router::Create(
               options,
               {.auth = auth_channels_, .store = store_channels_, .metrics = *metrics_, .clock = *Clock::System()})
        .status();
  };
  EXPECT_EQ(create(fmt::format("127.0.0.1:{}", router_->mqtt_port())).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(create("0.0.0.0:0").code(), absl::StatusCode::kInvalidArgument) << "plain MQTT is for loopback";
  EXPECT_EQ(create("nonsense").code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace holdfast::router
