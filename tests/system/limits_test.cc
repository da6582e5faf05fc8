// P12: nothing is unbounded; what goes past a limit gets its defined answer, and everybody else goes on.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/system/rig.h"
#include "tests/system/sas.h"
#include "tests/system/scripted_hub.h"

namespace holdfast::systest {
namespace {

std::string PublishPacket(std::string_view topic, std::string_view payload, uint16_t id) {
  std::string packet;
  mqtt::Publish publish;
  publish.topic = topic;
  publish.payload = payload;
  publish.packet_id = id;
  publish.qos = 1;
  EXPECT_EQ(mqtt::AppendPublish(publish, &packet), mqtt::Error::kOk);
  return packet;
}

// What comes next on the stream: the connection's end within `timeout`?
bool IsClosedBy(MqttStream* stream, absl::Duration timeout) {
  mqtt::Frame frame;
  return WaitFor(timeout, [&] { return stream->Read(&frame, absl::Milliseconds(20)) == MqttStream::Result::kClosed; });
}

class LimitsTest : public ::testing::Test {
 protected:
  // A gateway, and dev1 publishing at it all the while: whatever another client does, dev1 must not notice.
  void StartGateway(std::map<std::string, std::string> config = {}) {
    gateway_ = std::make_unique<Gateway>(Gateway::Options{.devices = DeviceNames(30),
                                                          .upstream = "mqtt://127.0.0.1:" + std::to_string(hub_.port()),
                                                          .config = std::move(config)});
    ASSERT_TRUE(gateway_->Start());
    bystander_ = std::make_unique<Fleet>(*gateway_, 1, UINT64_MAX, [](Publisher::Options* o) { o->rate = 200; });
    ASSERT_TRUE(bystander_->WaitUntilAcknowledged(10));
  }
  void TearDown() override {
    if (bystander_ == nullptr) return;
    EXPECT_TRUE(bystander_->Finish());
    EXPECT_EQ((*bystander_)[0].connects(), 1u) << "somebody else's fault must not cost a client its connection";
    EXPECT_TRUE(WaitFor(kPatience, [&] {
      const DeliveryReport report = Compare(bystander_->acknowledged(), hub_.Arrivals());
      return report.lost == 0;
    }));
  }

  ScriptedHub hub_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<Fleet> bystander_;
};

// P12
TEST_F(LimitsTest, PacketOf256KiBPassesAndALargerOneClosesTheConnection) {
  StartGateway();
  const std::string topic = "devices/dev2/messages/events/";
  MqttStream stream = gateway_->LoggedIn("dev2");
  ASSERT_TRUE(stream.open());
  const std::string fits = MakePayload("dev2", 0, 262'144 - 2 - topic.size() - 2);
  ASSERT_TRUE(stream.Send(PublishPacket(topic, fits, 1)));
  mqtt::Frame frame;
  ASSERT_EQ(stream.Read(&frame, kPatience), MqttStream::Result::kPacket);
  EXPECT_EQ(frame.type(), mqtt::PacketType::kPuback);
  stream.Send(PublishPacket(topic, fits + "a few more", 2));
  EXPECT_TRUE(IsClosedBy(&stream, kPatience));
}

TEST_F(LimitsTest, TopicOfAnotherIdentityClosesTheConnectionAndGoesNowhere) {
  StartGateway();
  for (const std::string topic :
       {"devices/dev3/messages/events/", "x/devices/dev2/messages/events/", "devices/dev2/messages/events/a=1&a=2",
        "anything", "devices/dev2/modules/m/messages/events/"}) {
    MqttStream stream = gateway_->LoggedIn("dev2");
    ASSERT_TRUE(stream.open());
    ASSERT_TRUE(stream.Send(PublishPacket(topic, MakePayload("dev3", 0, 10), 1)));
    mqtt::Frame frame;
    EXPECT_EQ(stream.Read(&frame, kPatience), MqttStream::Result::kClosed)
        << topic << ": closed, and never acknowledged";
  }
  for (const Arrival& arrival : hub_.Arrivals()) EXPECT_EQ(arrival.device, "dev1");
}

TEST_F(LimitsTest, Qos2ClosesTheConnection) {
  StartGateway();
  MqttStream stream = gateway_->LoggedIn("dev2");
  ASSERT_TRUE(stream.open());
  std::string packet = PublishPacket("devices/dev2/messages/events/", "x", 1);
  packet[0] = static_cast<char>(0x34);
  ASSERT_TRUE(stream.Send(packet));
  mqtt::Frame frame;
  EXPECT_EQ(stream.Read(&frame, kPatience), MqttStream::Result::kClosed);
}

// P12
TEST_F(LimitsTest, ConnectionsBeyondTheLimitAreTurnedAwayUntilOneLeaves) {
  StartGateway({{"router.connections_max", "8"}});
  std::vector<MqttStream> inside;
  for (int i = 2; i <= 8; ++i) {
    inside.push_back(gateway_->LoggedIn("dev" + std::to_string(i)));
    EXPECT_TRUE(inside.back().open()) << i;
  }
  EXPECT_FALSE(gateway_->LoggedIn("dev9").open());
  inside.pop_back();
  EXPECT_TRUE(WaitFor(kPatience, [&] { return gateway_->LoggedIn("dev9").open(); }));
}

// P12
TEST_F(LimitsTest, ClientThatSaysNothingIsClosedAfterTheConnectTimeout) {
  StartGateway({{"router.connect_timeout", "1"}});
  MqttStream silent = MqttStream::Connect(gateway_->mqtt_port());
  MqttStream dribbling = MqttStream::Connect(gateway_->mqtt_port());
  ASSERT_TRUE(dribbling.Send(std::string("\x10\x40\x00\x04MQ", 6)));
  EXPECT_TRUE(IsClosedBy(&silent, absl::Seconds(15)));
  EXPECT_TRUE(IsClosedBy(&dribbling, absl::Seconds(15)));
}

// P12
TEST_F(LimitsTest, ClientThatFallsSilentIsClosedAfterOneAndAHalfKeepAlives) {
  StartGateway();
  MqttStream stream = MqttStream::Connect(gateway_->mqtt_port());
  const std::string hub(Gateway::hub_hostname());
  const std::string user = hub + "/dev2/?api-version=2021-04-12";
  const std::string token = SasToken(hub, "dev2", gateway_->key("dev2"));
  mqtt::Connect connect;
  connect.client_id = "dev2";
  connect.keep_alive_seconds = 2;
  connect.has_user_name = connect.has_password = true;
  connect.user_name = user;
  connect.password = token;
  ASSERT_EQ(stream.Login(connect), mqtt::ConnackCode::kAccepted);
  const absl::Time start = absl::Now();
  EXPECT_TRUE(IsClosedBy(&stream, absl::Seconds(30)));
  EXPECT_GE(absl::Now() - start, absl::Seconds(2.5)) << "not before 1.5 keep-alives";
}

// A client that publishes and never reads its acknowledgements may fill its socket and a bounded buffer, then it is
// closed.
// P12
TEST_F(LimitsTest, SlowReaderIsClosed) {
  StartGateway({{"router.output_bytes_max", "16384"}});
  MqttStream stream = gateway_->LoggedIn("dev2");
  ASSERT_TRUE(stream.open());
  const int small = 4096;
  ::setsockopt(stream.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  std::string pings;
  for (int i = 0; i < 4096; ++i) mqtt::AppendPingreq(&pings);
  // PINGRESPs fill the client's and the gateway's socket buffers (some MB) and then the gateway's own.
  bool open = true;
  for (int i = 0; open && i < 2'000; ++i) open = stream.Send(pings, absl::Seconds(20));
  EXPECT_FALSE(open) << "16 MB of answers that nobody takes";
}

// P8: at its quota the gateway withholds acknowledgements, keeps serving everything else, and goes on by itself when
// there is room.
TEST(QuotaTest, FullQueuePushesBackAndRecoversWhenTheHubDrainsIt) {
  ScriptedHub hub;
  hub.SetReachable(false);
  Gateway gateway({.devices = DeviceNames(3),
                   .upstream = "mqtt://127.0.0.1:" + std::to_string(hub.port()),
                   .config = {{"store.queue_bytes_max", "1048576"}, {"uplink.backoff_max", "1"}}});
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 2, UINT64_MAX, [](Publisher::Options* o) { o->payload_bytes = 1'000; });
  uint64_t acknowledged = 0;
  absl::Time changed = absl::Now();
  ASSERT_TRUE(WaitFor(kPatience, [&] {
    if (fleet.total_acknowledged() != acknowledged) changed = absl::Now();
    acknowledged = fleet.total_acknowledged();
    return acknowledged > 500 && absl::Now() - changed > absl::Seconds(1);
  })) << "1 MiB of quota must stop two devices";
  EXPECT_LE(acknowledged, 1'100u);
  const auto queue = gateway.UpstreamQueue();
  ASSERT_TRUE(queue.ok()) << queue.status();
  EXPECT_LE(queue->bytes(), 1u << 20);
  EXPECT_EQ(queue->dropped().full(), 0u);
  EXPECT_TRUE(gateway.LoggedIn("dev3").open()) << "logging in needs no room";

  hub.SetReachable(true);
  EXPECT_TRUE(WaitFor(kPatience, [&] { return fleet.total_acknowledged() > acknowledged + 2'000; }))
      << "must resume by itself";
  ASSERT_TRUE(fleet.Finish());
  EXPECT_TRUE(hub.WaitForMessages(fleet.total_acknowledged(), kPatience));
  ExpectDelivered(fleet, hub.Arrivals(), fleet.resent());
}

}  // namespace
}  // namespace holdfast::systest
