// P1, P2, P3 under kill -9: of each process and of all of them, at random points, while devices publish and the hub
// takes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/system/rig.h"
#include "tests/system/scripted_hub.h"

namespace holdfast::systest {
namespace {

constexpr int kRounds = 20;
constexpr int kDevices = 4;
constexpr uint32_t kDeviceWindow = 32;
constexpr uint64_t kUplinkWindow = 256;

// Up to 400 ms of load before each blow; the seed is printed so that a failing run can be had again.
class CrashTest : public ::testing::TestWithParam<std::string> {
 protected:
  CrashTest() {
    const char* seed = std::getenv("HOLDFAST_TEST_SEED");
    const unsigned value = seed != nullptr ? static_cast<unsigned>(std::stoul(seed)) : std::random_device{}();
    fmt::print("HOLDFAST_TEST_SEED={}\n", value);
    random_.seed(value);
  }
  absl::Duration RandomPause() { return absl::Milliseconds(std::uniform_int_distribution<int>(1, 400)(random_)); }

  std::mt19937 random_;
};

// P1, P2, P3
TEST_P(CrashTest, NothingAcknowledgedIsLostOrderHoldsAndCopiesStayWithinTheWindow) {
  ScriptedHub hub;
  Gateway gateway(
      {.devices = DeviceNames(kDevices),
       .upstream = "mqtt://127.0.0.1:" + std::to_string(hub.port()),
       .config = {{"uplink.inflight_count_max", std::to_string(kUplinkWindow)}, {"uplink.backoff_max", "1"}}});
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, kDevices, UINT64_MAX, [](Publisher::Options* o) {
    o->window = kDeviceWindow;
    o->payload_bytes = 256;
  });
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(10));
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t before = fleet.total_acknowledged();
    ASSERT_TRUE(WaitFor(kPatience, [&] { return fleet.total_acknowledged() > before; })) << "round " << round;
    absl::SleepFor(RandomPause());
    if (GetParam() == "all") {
      gateway.KillAll();
      ASSERT_TRUE(gateway.Start()) << "round " << round;
    } else {
      ASSERT_TRUE(gateway.Crash(GetParam())) << "round " << round;
    }
  }
  ASSERT_TRUE(fleet.Finish());
  EXPECT_TRUE(hub.WaitForMessages(fleet.total_acknowledged(), kPatience));
  EXPECT_TRUE(gateway.WaitUntilDrained(kPatience));
  // Uplink sends its window again when it or store died. What the devices sent again after a crash of router is
  // recognised. A dead auth costs nothing.
  const bool uplink_repeats = GetParam() != "auth" && GetParam() != "router";
  ExpectDelivered(fleet, hub.Arrivals(), uplink_repeats ? kRounds * kUplinkWindow : 0);
  const auto queue = gateway.UpstreamQueue();
  ASSERT_TRUE(queue.ok()) << queue.status();
  EXPECT_EQ(queue->appended(), fleet.total_acknowledged()) << "each message is stored once";
  fmt::print("{}: {}; resent by devices {}\n", GetParam(), Compare(fleet.acknowledged(), hub.Arrivals()).Text(),
             fleet.resent());
}

// P3: a device has sent messages and got no PUBACK, since it lost its connection; they were stored, and delivered to
// the hub, so that they are gone from the queue. Router is killed. The device sends them again.
TEST(RouterCrashTest, ResentAfterKillNineIsStoredAndDeliveredOnce) {
  constexpr uint16_t kMessages = 20;
  ScriptedHub hub;
  Gateway gateway({.upstream = "mqtt://127.0.0.1:" + std::to_string(hub.port()),
                   .config = {{"router.session_checkpoint_interval", "\"100ms\""}}});
  ASSERT_TRUE(gateway.Start());
  const auto publish_all = [&](MqttStream* stream, bool dup) {
    std::string bytes;
    for (uint16_t id = 1; id <= kMessages; ++id) {
      const std::string payload = MakePayload("dev1", id - 1u, 0);
      ASSERT_EQ(
          mqtt::AppendPublish(
              {.topic = "devices/dev1/messages/events/", .payload = payload, .packet_id = id, .qos = 1, .dup = dup},
              &bytes),
          mqtt::Error::kOk);
    }
    ASSERT_TRUE(stream->Send(bytes));
  };
  {
    MqttStream stream = gateway.LoggedIn("dev1", /*clean_session=*/false);
    ASSERT_TRUE(stream.open());
    publish_all(&stream, false);
    // It never reads an answer.
    ASSERT_TRUE(hub.WaitForMessages(kMessages, kPatience));
  }
  ASSERT_TRUE(gateway.WaitUntilDrained(kPatience));
  ASSERT_TRUE(WaitFor(kPatience, [&] {
    const auto queue = gateway.UpstreamQueue();
    return queue.ok() && queue->records() == 0;
  })) << "router holds nothing back for long";
  ASSERT_TRUE(gateway.Crash("router"));

  MqttStream stream = gateway.LoggedIn("dev1", /*clean_session=*/false);
  ASSERT_TRUE(stream.open());
  publish_all(&stream, true);
  for (uint16_t id = 1; id <= kMessages; ++id) {
    mqtt::Frame frame;
    uint16_t acknowledged = 0;
    ASSERT_EQ(stream.Read(&frame, kPatience), MqttStream::Result::kPacket);
    ASSERT_EQ(mqtt::DecodePacketId(frame, &acknowledged), mqtt::Error::kOk);
    EXPECT_EQ(acknowledged, id);
  }
  ASSERT_TRUE(gateway.WaitUntilDrained(kPatience));
  EXPECT_EQ(gateway.UpstreamQueue()->appended(), kMessages);
  EXPECT_EQ(hub.Arrivals().size(), kMessages);
}

INSTANTIATE_TEST_SUITE_P(KillNine, CrashTest, ::testing::Values("store", "auth", "router", "uplink", "all"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace holdfast::systest
