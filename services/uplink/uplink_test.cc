// Uplink with a store in memory on one side and a scripted hub on the other.
#include "services/uplink/uplink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "lib/mqtt/packet.h"
#include "lib/presence/keys.h"
#include "lib/testing/scripted_peer.h"
#include "lib/testing/temp_dir.h"
#include "services/uplink/fake_dns.h"
#include "services/uplink/fake_store.h"

namespace holdfast::uplink {
namespace {

using std::string_literals::operator""s;
using testing::ElementsAre;

// What the hub got in one PUBLISH.
struct Message {
  std::string topic;
  std::string payload;
  uint16_t packet_id = 0;
  bool dup = false;
};

class UplinkTest : public testing::Test {
 protected:
  UplinkTest() : store_(dir_.path()), channels_(dir_.path(), "store"), metrics_(*Metrics::Create("")) {
    options_.link.client.host = "127.0.0.1";
    options_.link.client.port = hub_.port();
    options_.link.client.client_id = "gw";
    options_.link.connectivity.backoff_min = absl::Milliseconds(50);
    options_.link.connectivity.probe_interval = absl::Milliseconds(50);
  }

  void Start() {
    uplink_ = std::make_unique<Uplink>(options_, *TopicTemplate::Create(kDeviceTopic, kModuleTopic), &channels_,
                                       metrics_.get(), *Clock::System());
    uplink_->Start();
  }

  // Accepts connections until one logs in: probes connect too, and leave without a word.
  void Login() {
    for (;;) {
      ASSERT_TRUE(hub_.Accept().ok());
      const auto connect = hub_.ReadPacket();
      if (!connect.ok()) continue;
      ASSERT_EQ((*connect)[0], 0x10);
      ASSERT_TRUE(hub_.Send("\x20\x02\x00\x00"s).ok());
      return;
    }
  }
  Message Next() {
    const auto packet = hub_.ReadPacket();
    EXPECT_TRUE(packet.ok()) << packet.status();
    if (!packet.ok()) return {};
    const mqtt::ScanResult scan = mqtt::ScanFrame(*packet, mqtt::kPacketBytesMax);
    mqtt::Publish p;
    EXPECT_EQ(scan.frame.type(), mqtt::PacketType::kPublish);
    if (scan.frame.type() != mqtt::PacketType::kPublish) return {};
    EXPECT_EQ(mqtt::DecodePublish(scan.frame, &p), mqtt::Error::kOk);
    return {std::string(p.topic), std::string(p.payload), p.packet_id, p.dup};
  }
  void Ack(uint16_t id) {
    std::string out;
    mqtt::AppendPuback(id, &out);
    ASSERT_TRUE(hub_.Send(out).ok());
  }
  bool WaitState(LinkState state) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    for (auto s = uplink_->GetStatus(); s.state != state; s = uplink_->GetStatus()) {
      if (absl::Now() > deadline) return false;
      uplink_->WaitForChange(s.version, absl::Seconds(1));
    }
    return true;
  }

  TempDir dir_;
  FakeStore store_;
  ScriptedPeer hub_;
  rpc::Channels channels_;
  std::unique_ptr<Metrics> metrics_;
  Uplink::Options options_;
  std::unique_ptr<Uplink> uplink_;
};

TEST_F(UplinkTest, PublishesWithStableIdAndMovesTheCheckpointAfterTheAcknowledgement) {
  store_.AppendMessages(2);
  Start();
  Login();
  const Message first = Next();
  EXPECT_EQ(first.topic, "devices/dev1/messages/events/hf-id=0123456789abcdef-1");
  EXPECT_EQ(first.payload, "0");
  const Message second = Next();
  EXPECT_EQ(second.topic, "devices/dev1/messages/events/hf-id=0123456789abcdef-2");
  // P1: the second is acknowledged, the first is not: the checkpoint stays.
  Ack(second.packet_id);
  EXPECT_FALSE(store_.WaitCommitted(1, absl::Milliseconds(200)));
  Ack(first.packet_id);
  EXPECT_TRUE(store_.WaitCommitted(2));
  // Follows the tail.
  store_.AppendMessages(1);
  const Message third = Next();
  EXPECT_EQ(third.payload, "2");
  Ack(third.packet_id);
  EXPECT_TRUE(store_.WaitCommitted(3));
  for (int i = 0; i < 500 && uplink_->GetStatus().delivered < 3; ++i) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_EQ(uplink_->GetStatus().delivered, 3u);
}

// P2, P3: a new connection begins with what was in flight, in order, marked as duplicates, then goes on.
TEST_F(UplinkTest, AfterADropWhatIsInFlightGoesFirstInOrder) {
  options_.window.count_max = 4;
  store_.AppendMessages(6);
  Start();
  Login();
  std::vector<uint16_t> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(Next().packet_id);
  EXPECT_TRUE(hub_.Quiet(absl::Milliseconds(100))) << "the window is full";
  Ack(ids[1]);
  // Wait until it took notice, then break.
  for (int i = 0; i < 200 && uplink_->GetStatus().in_flight != 3; ++i) absl::SleepFor(absl::Milliseconds(10));
  hub_.Close();
  Login();
  for (const size_t i : {0, 2, 3}) {
    const Message again = Next();
    EXPECT_EQ(again.payload, std::to_string(i));
    EXPECT_EQ(again.packet_id, ids[i]);
    EXPECT_TRUE(again.dup);
    Ack(again.packet_id);
  }
  for (const int i : {4, 5}) {
    const Message fresh = Next();
    EXPECT_EQ(fresh.payload, std::to_string(i));
    EXPECT_FALSE(fresh.dup);
    Ack(fresh.packet_id);
  }
  EXPECT_TRUE(store_.WaitCommitted(6));
}

// "Resumes within 1 s of the broker being reachable again, by itself": the back-off stands at a minute, the probe ends
// it.
TEST_F(UplinkTest, NoticesTheHubAtOnceHoweverLongTheBackOff) {
  options_.link.connectivity.backoff_min = options_.link.connectivity.backoff_max = absl::Minutes(10);
  hub_.StopListening();
  store_.AppendMessages(1);
  Start();
  ASSERT_TRUE(WaitState(LinkState::kOffline));
  EXPECT_NE(uplink_->GetStatus().reason, "");
  hub_.Listen();
  const absl::Time back = absl::Now();
  Login();
  EXPECT_EQ(Next().payload, "0");
  EXPECT_LT(absl::Now() - back, absl::Seconds(1));
}

// The store restarts: nothing in flight is sent twice on the same connection.
TEST_F(UplinkTest, StoreRestartRepeatsNothing) {
  store_.AppendMessages(3);
  Start();
  Login();
  std::vector<uint16_t> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(Next().packet_id);
  store_.Down();
  Ack(ids[0]);
  store_.Up();
  store_.AppendMessages(1);
  const Message next = Next();
  EXPECT_EQ(next.payload, "3");
  Ack(ids[1]);
  Ack(ids[2]);
  Ack(next.packet_id);
  EXPECT_TRUE(store_.WaitCommitted(4));
}

// Half-open link: no acknowledgement, no PINGRESP: dropped, and everything comes again on a new connection.
TEST_F(UplinkTest, SilentHubIsDropped) {
  options_.link.connectivity.ack_timeout = absl::Milliseconds(200);
  options_.link.connectivity.ping_timeout = absl::Milliseconds(200);
  store_.AppendMessages(1);
  Start();
  Login();
  EXPECT_EQ(Next().payload, "0");
  EXPECT_TRUE(hub_.Expect("\xc0\x00"s).ok());
  EXPECT_EQ(uplink_->GetStatus().state, LinkState::kSuspect);
  Login();
  const Message again = Next();
  EXPECT_TRUE(again.dup);
  Ack(again.packet_id);
  EXPECT_TRUE(store_.WaitCommitted(1));
}

// "connected but not draining" is told; an acknowledgement ends it.
TEST_F(UplinkTest, HubThatNeverAcknowledgesIsStalled) {
  options_.link.connectivity.stall_timeout = absl::Milliseconds(300);
  std::atomic<int> calls = 0;
  store_.AppendMessages(1);
  uplink_ = std::make_unique<Uplink>(options_, *TopicTemplate::Create(kDeviceTopic, kModuleTopic), &channels_,
                                     metrics_.get(), *Clock::System());
  uplink_->OnStalled([&](bool) { ++calls; });
  uplink_->Start();
  Login();
  const Message message = Next();
  for (int i = 0; i < 500 && !uplink_->GetStatus().stalled; ++i) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_TRUE(uplink_->GetStatus().stalled);
  Ack(message.packet_id);
  for (int i = 0; i < 500 && calls < 2; ++i) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_FALSE(uplink_->GetStatus().stalled);
}

// P1
TEST_F(UplinkTest, UnpublishableMessageIsSetAsideAndTheLineMovesOn) {
  message::v1::Envelope big;
  big.set_device_id("dev1");
  big.set_property_bag(std::string(65'530, 'k'));
  store_.Append({big.SerializeAsString()});
  store_.Append({"\xff\xff no envelope"});
  store_.AppendMessages(1);
  Start();
  Login();
  const Message good = Next();
  EXPECT_EQ(good.payload, "0");
  Ack(good.packet_id);
  EXPECT_TRUE(store_.WaitCommitted(3));
  EXPECT_EQ(store_.dead_letters().size(), 2u);
}

TEST_F(UplinkTest, StopSaysGoodbyeAndWritesTheCheckpoint) {
  store_.AppendMessages(1);
  Start();
  Login();
  Ack(Next().packet_id);
  ASSERT_TRUE(store_.WaitCommitted(1));
  uplink_->Stop();
  EXPECT_TRUE(hub_.Expect("\xe0\x00"s).ok());
  EXPECT_TRUE(hub_.ExpectClosed().ok());
}

// Packet identifiers come round after 65,535 messages; nothing is lost, order holds.
TEST_F(UplinkTest, MoreThan65535MessagesOverOneConnection) {
  constexpr int kMessages = 70'000;
  for (int i = 0; i < kMessages; i += 1000) store_.AppendMessages(1000);
  Start();
  Login();
  for (int i = 0; i < kMessages; ++i) {
    const Message m = Next();
    ASSERT_EQ(m.payload, std::to_string(i));
    ASSERT_FALSE(m.dup);
    ASSERT_NE(m.packet_id, 0);
    Ack(m.packet_id);
  }
  EXPECT_TRUE(store_.WaitCommitted(kMessages));
}

// DNS is down: the address that worked last is used.
TEST_F(UplinkTest, LastGoodAddressIsUsedWhenTheNameCannotBeResolved) {
  options_.link.client.host = "hub.invalid";
  options_.link.resolve_timeout = absl::Seconds(1);
  store_.SetValue(kAddressKey, "hub.invalid 127.0.0.1");
  Start();
  Login();
  EXPECT_TRUE(WaitState(LinkState::kOnline));
}

// The first address of the hub's name is a black hole (a dead host, IPv6 that leads nowhere): the attempt goes to the
// one that a probe reached, instead of beginning again at the dead one whenever a probe gets through.
TEST_F(UplinkTest, DeadFirstAddressDoesNotKeepItOffline) {
  const BlackHole dead(hub_.port());
  const FakeDns dns({"127.0.0.2", "127.0.0.1"});
  options_.link.client.host = "hub.test";
  options_.link.dns_servers = {dns.server()};
  options_.link.client.connect_timeout = std::chrono::minutes(5);
  Start();
  Login();
  EXPECT_TRUE(WaitState(LinkState::kOnline));
  EXPECT_THAT(uplink_->GetStatus().address, testing::StartsWith("127.0.0.1:"));
  // Nor after a break.
  hub_.Close();
  Login();
  EXPECT_TRUE(WaitState(LinkState::kOnline));
}

// The other services see whether the hub is there, and when uplink is not.
TEST_F(UplinkTest, TellsTheOthersWhetherTheHubCanBeReached) {
  const std::string key(presence::kLinkKey);
  const auto told = [&](auto fulfils) {
    return store_.key_value().WaitFor(key, [&](const std::optional<std::string>& value) {
      presence::v1::LinkPresence presence;
      return value && presence.ParseFromString(*value) && fulfils(presence);
    });
  };
  options_.kind = "mqtt";
  hub_.StopListening();
  Start();
  EXPECT_TRUE(told([](const auto& p) { return !p.online() && !p.reason().empty() && p.kind() == "mqtt"; }));
  hub_.Listen();
  Login();
  EXPECT_TRUE(told([](const auto& p) { return p.online() && p.reason().empty() && p.has_since(); }));
  store_.key_value().EndLeases();
  EXPECT_TRUE(told([](const auto& p) { return p.online(); })) << "it comes back when the lease was lost";
  store_.Down();
  hub_.StopListening();
  hub_.Close();
  ASSERT_TRUE(WaitState(LinkState::kOffline));
  store_.Up();
  EXPECT_TRUE(told([](const auto& p) { return !p.online(); })) << "what changed meanwhile";
  uplink_->Stop();
  EXPECT_FALSE(store_.key_value().value(key)) << "removed when it stops";
}

// P1, P2: an outage that is rehearsed. The others are told of it as of any.
TEST_F(UplinkTest, OfflineByOverrideSendsNothingAndLosesNothing) {
  options_.mode_comes_later = true;
  store_.AppendMessages(2);
  Start();
  EXPECT_TRUE(hub_.NobodyConnects(absl::Milliseconds(300))) << "it is not known yet whether it may";
  uplink_->SetMode(LinkMode::kAuto, absl::InfiniteDuration());
  Login();
  Ack(Next().packet_id);
  const Message second = Next();
  ASSERT_TRUE(store_.WaitCommitted(1));

  uplink_->SetMode(LinkMode::kOffline, Clock::System()->SinceBoot() + absl::Hours(1));
  EXPECT_TRUE(hub_.ExpectClosed().ok());
  ASSERT_TRUE(WaitState(LinkState::kOffline));
  const Uplink::Status status = uplink_->GetStatus();
  EXPECT_THAT(status.reason, testing::StartsWith("offline by override until 20"));
  EXPECT_EQ(status.next_attempt, absl::InfinitePast());
  EXPECT_TRUE(store_.key_value().WaitFor(std::string(presence::kLinkKey), [](const auto& value) {
    presence::v1::LinkPresence presence;
    return value && presence.ParseFromString(*value) && !presence.online() &&
           presence.reason().starts_with("offline by override");
  }));
  store_.AppendMessages(1);
  EXPECT_TRUE(hub_.NobodyConnects(absl::Milliseconds(500))) << "not even a probe";

  uplink_->SetMode(LinkMode::kAuto, absl::InfiniteDuration());
  Login();
  const Message again = Next();
  EXPECT_EQ(again.payload, second.payload);
  EXPECT_TRUE(again.dup);
  Ack(again.packet_id);
  Ack(Next().packet_id);
  EXPECT_TRUE(store_.WaitCommitted(3));
}

TEST_F(UplinkTest, WithoutUpstreamItStaysOfflineAndSaysSo) {
  options_.link.client.host = "";
  Start();
  EXPECT_EQ(uplink_->GetStatus().state, LinkState::kOffline);
  EXPECT_EQ(uplink_->GetStatus().reason, "no upstream is configured");
}

}  // namespace
}  // namespace holdfast::uplink
