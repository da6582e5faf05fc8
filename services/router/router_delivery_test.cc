// Messages for clients: from their queues to their sessions.
#include <fmt/format.h>

#include "services/router/router_fixture.h"

namespace holdfast::router {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kInputs[] = "inputs/gw/m";
constexpr char kFilter[] = "devices/gw/modules/m/inputs/#";
constexpr absl::Duration kAWhile = absl::Milliseconds(200);

message::v1::Envelope ForInput(std::string_view body, std::string_view input = "in") {
  message::v1::Envelope envelope;
  envelope.set_device_id("gw");
  envelope.set_module_id("sender");
  envelope.set_property_bag("a=b");
  envelope.set_body(std::string(body));
  envelope.set_input_name(std::string(input));
  return envelope;
}

std::string Subscribe(std::string_view filter, uint8_t qos) {
  std::string packet;
  EXPECT_EQ(mqtt::AppendSubscribe(77, {{.filter = filter, .qos = qos}}, &packet), mqtt::Error::kOk);
  return packet;
}

struct Received {
  std::string packet;
  mqtt::Publish publish;
  bool ok = false;
};

class RouterDeliveryTest : public RouterTest {
 protected:
  void Subscribed(Peer* peer, std::string_view filter = kFilter, uint8_t qos = 1) {
    peer->Send(Subscribe(filter, qos));
    std::string suback;
    mqtt::AppendSuback(77, std::string(1, static_cast<char>(qos)), &suback);
    EXPECT_EQ(peer->Read(), suback);
  }
  Peer Module(bool clean_session = false, uint8_t qos = 1) {
    Peer peer = Connected("gw/m", clean_session);
    Subscribed(&peer, kFilter, qos);
    return peer;
  }
  std::shared_ptr<Received> Next(Peer* peer) {
    auto received = std::make_shared<Received>();
    received->packet = peer->Read();
    const mqtt::ScanResult scan = mqtt::ScanFrame(received->packet, mqtt::kPacketBytesMax);
    received->ok = scan.state == mqtt::ScanResult::kPacket && scan.frame.type() == mqtt::PacketType::kPublish &&
                   mqtt::DecodePublish(scan.frame, &received->publish) == mqtt::Error::kOk;
    EXPECT_TRUE(received->ok);
    return received;
  }
  // Body, identifier and DUP of the next message.
  std::string Line(Peer* peer) {
    const auto next = Next(peer);
    if (!next->ok) return "";
    return fmt::format("{} {}{}", next->publish.payload, next->publish.packet_id, next->publish.dup ? " dup" : "");
  }
  FakeClientQueues& queues() { return store_.clients(); }
};

TEST_F(RouterDeliveryTest, ModuleGetsWhatIsForItsInputs) {
  Start();
  queues().Put(kInputs, ForInput("one", "in1"));
  Peer peer = Module();
  const auto first = Next(&peer);
  EXPECT_EQ(first->publish.topic, "devices/gw/modules/m/inputs/in1/a=b&%24.cdid=gw&%24.cmid=sender&hf-hops=1");
  EXPECT_EQ(first->publish.payload, "one");
  EXPECT_EQ(first->publish.qos, 1);
  queues().Put(kInputs, ForInput("two", "in2"));
  EXPECT_THAT(std::string(Next(&peer)->publish.topic), HasSubstr("/inputs/in2/"));
  EXPECT_TRUE(peer.Silent(kAWhile));
  EXPECT_EQ(queues().checkpoint(kInputs), 0u);
  peer.Send(Puback(1));
  EXPECT_TRUE(Eventually([&] { return queues().checkpoint(kInputs) == 1; }));
  peer.Send(Puback(2));
  EXPECT_TRUE(Eventually([&] { return queues().checkpoint(kInputs) == 2; }));
}

TEST_F(RouterDeliveryTest, DeviceGetsItsInbox) {
  Start();
  Peer peer = Connected("dev1");
  Subscribed(&peer, "devices/dev1/messages/devicebound/#");
  message::v1::Envelope envelope;
  envelope.set_kind(message::v1::Envelope::KIND_CLOUD_TO_DEVICE);
  envelope.set_property_bag("%24.mid=7");
  envelope.set_body("hello");
  queues().Put("inbox/dev1", envelope);
  const auto next = Next(&peer);
  EXPECT_EQ(next->publish.topic, "devices/dev1/messages/devicebound/%24.mid=7");
  EXPECT_EQ(next->publish.payload, "hello");
}

TEST_F(RouterDeliveryTest, WithoutSubscriptionNothingIsPulled) {
  Start();
  queues().Put(kInputs, ForInput("one"));
  Peer peer = Connected("gw/m");
  EXPECT_TRUE(peer.Silent(kAWhile));
  EXPECT_EQ(queues().pulls(), 0u);
  Subscribed(&peer);
  EXPECT_EQ(Line(&peer), "one 1");
  std::string unsubscribe;
  ASSERT_EQ(mqtt::AppendUnsubscribe(78, {kFilter}, &unsubscribe), mqtt::Error::kOk);
  peer.Send(unsubscribe);
  peer.Read();
  EXPECT_TRUE(Eventually([&] { return queues().open_pulls() == 0; }));
  queues().Put(kInputs, ForInput("two"));
  // What was sent may be acknowledged still.
  peer.Send(Puback(1));
  EXPECT_TRUE(Eventually([&] { return queues().checkpoint(kInputs) == 1; }));
  EXPECT_TRUE(peer.Silent(kAWhile));
  Subscribed(&peer);
  EXPECT_EQ(Line(&peer), "two 1");
}

// P2: many on their way at a time, in order; a PUBACK makes room for one more.
TEST_F(RouterDeliveryTest, WindowIsNotOneAtATimeAndHasALimit) {
  options_.delivery_window = 3;
  Start();
  for (int i = 1; i <= 6; ++i) queues().Put(kInputs, ForInput(std::to_string(i)));
  Peer peer = Module();
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(Line(&peer), fmt::format("{} {}", i, i));
  EXPECT_TRUE(peer.Silent(kAWhile));
  // Out of order: room for one more, and no checkpoint.
  peer.Send(Puback(2));
  EXPECT_EQ(Line(&peer), "4 4");
  EXPECT_EQ(queues().checkpoint(kInputs), 0u);
  peer.Send(Puback(1));
  EXPECT_EQ(Line(&peer), "5 5");
  EXPECT_TRUE(Eventually([&] { return queues().checkpoint(kInputs) == 2; }));
}

TEST_F(RouterDeliveryTest, CommitsAreOneAtATimeAndCoverWhatCameMeanwhile) {
  Start();
  for (int i = 1; i <= 40; ++i) queues().Put(kInputs, ForInput(std::to_string(i)));
  Peer peer = Module();
  for (int i = 1; i <= 40; ++i) ASSERT_EQ(Line(&peer), fmt::format("{} {}", i, i));
  queues().HoldCommits(true);
  peer.Send(Puback(1));
  absl::SleepFor(absl::Milliseconds(50));
  for (uint16_t i = 2; i <= 40; ++i) peer.Send(Puback(i));
  absl::SleepFor(absl::Milliseconds(50));
  queues().HoldCommits(false);
  EXPECT_TRUE(Eventually([&] { return queues().checkpoint(kInputs) == 40; }));
  EXPECT_LE(queues().commits(), 3u);
}

// P1, MQTT 3.1.1 4.4: with the same identifiers, before what is new, and with DUP.
TEST_F(RouterDeliveryTest, UnacknowledgedAreSentAgainAfterAReconnect) {
  Start();
  for (const char* body : {"a", "b", "c"}) queues().Put(kInputs, ForInput(body));
  {
    Peer peer = Module();
    EXPECT_EQ(Line(&peer), "a 1");
    EXPECT_EQ(Line(&peer), "b 2");
    EXPECT_EQ(Line(&peer), "c 3");
    peer.Send(Puback(2));
    peer.Send(Puback(1));
    ASSERT_TRUE(Eventually([&] { return queues().checkpoint(kInputs) == 2; }));
  }
  queues().Put(kInputs, ForInput("d"));
  // The subscription is the session's.
  Peer again = Connected("gw/m");
  EXPECT_EQ(Line(&again), "c 3 dup");
  EXPECT_EQ(Line(&again), "d 4");
  again.Send(Puback(3) + Puback(4));
  EXPECT_TRUE(Eventually([&] { return queues().checkpoint(kInputs) == 4; }));
}

TEST_F(RouterDeliveryTest, TakeOverGetsWhatTheFirstOneDidNotAcknowledge) {
  Start();
  queues().Put(kInputs, ForInput("a"));
  Peer first = Module();
  EXPECT_EQ(Line(&first), "a 1");
  Peer second = Connected("gw/m");
  EXPECT_EQ(Line(&second), "a 1 dup");
}

TEST_F(RouterDeliveryTest, CleanSessionStartsAnew) {
  Start();
  queues().Put(kInputs, ForInput("a"));
  {
    Peer peer = Module(/*clean_session=*/true);
    EXPECT_EQ(Line(&peer), "a 1");
  }
  Peer again = Module(/*clean_session=*/true);
  EXPECT_EQ(Line(&again), "a 1");
}

// P1: everything that is not committed comes again.
TEST_F(RouterDeliveryTest, RestartOfRouterGoesOnBehindTheCheckpoint) {
  Start();
  for (const char* body : {"a", "b", "c"}) queues().Put(kInputs, ForInput(body));
  {
    Peer peer = Module();
    EXPECT_EQ(Line(&peer), "a 1");
    EXPECT_EQ(Line(&peer), "b 2");
    peer.Send(Puback(1));
    ASSERT_TRUE(Eventually([&] { return queues().checkpoint(kInputs) == 1; }));
  }
  StartRouter();
  Peer again = Connected("gw/m");
  EXPECT_EQ(Line(&again), "b 1");
  EXPECT_EQ(Line(&again), "c 2");
}

TEST_F(RouterDeliveryTest, StopCommitsWhatIsAcknowledged) {
  Start();
  for (const char* body : {"a", "b"}) queues().Put(kInputs, ForInput(body));
  Peer peer = Module();
  EXPECT_EQ(Line(&peer), "a 1");
  EXPECT_EQ(Line(&peer), "b 2");
  queues().FailNextCommit(grpc::StatusCode::UNAVAILABLE);
  peer.Send(Puback(1) + Puback(2));
  absl::SleepFor(absl::Milliseconds(20));
  router_->Stop();
  EXPECT_EQ(queues().checkpoint(kInputs), 2u);
}

TEST_F(RouterDeliveryTest, BrokenStreamIsOpenedAgainAndBringsNothingTwice) {
  Start();
  for (const char* body : {"a", "b"}) queues().Put(kInputs, ForInput(body));
  Peer peer = Module();
  EXPECT_EQ(Line(&peer), "a 1");
  EXPECT_EQ(Line(&peer), "b 2");
  queues().Break();
  queues().Put(kInputs, ForInput("c"));
  EXPECT_EQ(Line(&peer), "c 3");
  queues().FailNextCommit(grpc::StatusCode::UNAVAILABLE);
  peer.Send(Puback(1) + Puback(2) + Puback(3));
  EXPECT_TRUE(Eventually([&] { return queues().checkpoint(kInputs) == 3; }));
  EXPECT_TRUE(peer.Silent(kAWhile));
}

TEST_F(RouterDeliveryTest, DeletedQueueIsAnotherOneAfterwards) {
  Start();
  for (const char* body : {"a", "b"}) queues().Put(kInputs, ForInput(body));
  Peer peer = Module();
  EXPECT_EQ(Line(&peer), "a 1");
  EXPECT_EQ(Line(&peer), "b 2");
  ASSERT_TRUE(queues().Delete(kInputs).ok());
  ASSERT_TRUE(Eventually([&] { return queues().pulls() == 2; }));
  queues().Put(kInputs, ForInput("new"));
  EXPECT_EQ(Line(&peer), "new 3");
  peer.Send(Puback(3));
  EXPECT_TRUE(Eventually([&] { return queues().checkpoint(kInputs) == 1; }));
}

TEST_F(RouterDeliveryTest, Qos0CountsWhenWritten) {
  Start();
  for (const char* body : {"a", "b"}) queues().Put(kInputs, ForInput(body));
  Peer peer = Module(/*clean_session=*/false, /*qos=*/0);
  EXPECT_EQ(Line(&peer), "a 0");
  EXPECT_EQ(Line(&peer), "b 0");
  EXPECT_TRUE(Eventually([&] { return queues().checkpoint(kInputs) == 2; }));
}

TEST_F(RouterDeliveryTest, WhatCantBeDeliveredIsPassedOver) {
  Start();
  queues().Put(kInputs, "no envelope");
  queues().Put(kInputs, ForInput("without input", ""));
  queues().Put(kInputs, ForInput("good"));
  Peer peer = Module();
  EXPECT_EQ(Line(&peer), "good 1");
  EXPECT_TRUE(Eventually([&] { return queues().checkpoint(kInputs) == 2; }));
}

TEST_F(RouterDeliveryTest, UrgentOnesGoFirst) {
  Start();
  queues().Put(kInputs, ForInput("later"), 9);
  queues().Put(kInputs, ForInput("now"), 0);
  Peer peer = Module();
  EXPECT_EQ(Line(&peer), "now 1");
  EXPECT_EQ(Line(&peer), "later 2");
  peer.Send(Puback(2));
  EXPECT_TRUE(Eventually([&] { return queues().checkpoint(kInputs, 9) == 1; }));
  EXPECT_EQ(queues().checkpoint(kInputs, 0), 0u);
}

// P12: a client that takes nothing is waited for, not closed, and costs no more than its share of memory.
TEST_F(RouterDeliveryTest, SlowReaderOfItsMessagesIsWaitedFor) {
  options_.delivery_window = 1000;
  options_.output_bytes_max = 4096;
  options_.delivery_prefetch_bytes = 1024;
  options_.packet_bytes_max = 2 << 20;
  Start();
  const std::string body(200'000, 'x');
  constexpr int kMessages = 100;
  for (int i = 0; i < kMessages; ++i) queues().Put(kInputs, ForInput(std::to_string(i) + " " + body));
  Peer slow = Module();
  absl::SleepFor(kAWhile);
  EXPECT_EQ(router_->Status().sessions(), 1u);
  for (int i = 0; i < kMessages; ++i) {
    const auto next = Next(&slow);
    ASSERT_TRUE(next->publish.payload.starts_with(std::to_string(i) + " "));
    slow.Send(Puback(next->publish.packet_id));
  }
  EXPECT_TRUE(Eventually([&] { return queues().checkpoint(kInputs) == kMessages; }));
}

// P12: above delivery_bytes_max, whoever took nothing for longest gives its read-ahead back, and gets it later.
TEST_F(RouterDeliveryTest, ReadAheadOfAllClientsHasALimit) {
  options_.io_threads = 1;
  options_.delivery_window = 1;
  options_.delivery_bytes_max = 1 << 20;
  options_.delivery_prefetch_bytes = 1 << 20;
  Start();
  constexpr int kClients = 8;
  const std::string body(200'000, 'x');
  std::vector<Peer> peers;
  for (int c = 0; c < kClients; ++c) {
    for (int i = 0; i < 5; ++i) {
      message::v1::Envelope envelope;
      envelope.set_body(std::to_string(i) + body);
      queues().Put(fmt::format("inbox/dev{}", c), envelope);
    }
    peers.push_back(Connected(fmt::format("dev{}", c)));
    Subscribed(&peers.back(), fmt::format("devices/dev{}/messages/devicebound/#", c));
  }
  EXPECT_TRUE(Eventually([&] { return queues().open_pulls() < kClients; })) << "somebody was shed";
  for (int i = 0; i < 5; ++i) {
    for (Peer& peer : peers) {
      const auto next = Next(&peer);
      ASSERT_TRUE(next->publish.payload.starts_with(std::to_string(i)));
      peer.Send(Puback(next->publish.packet_id));
    }
  }
  EXPECT_TRUE(Eventually([&] {
    for (int c = 0; c < kClients; ++c) {
      if (queues().checkpoint(fmt::format("inbox/dev{}", c)) != 5) return false;
    }
    return true;
  }));
}

}  // namespace
}  // namespace holdfast::router
