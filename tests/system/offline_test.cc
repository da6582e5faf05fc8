// The main job: what devices send while the hub is away is kept, and arrives when it is back, in order.
#include <gtest/gtest.h>

#include "tests/system/mosquitto.h"
#include "tests/system/recorder.h"
#include "tests/system/rig.h"
#include "tests/system/scripted_hub.h"

namespace holdfast::systest {
namespace {

using uplink::v1::LINK_STATE_OFFLINE;
using uplink::v1::LINK_STATE_ONLINE;

// Promised: within 1 s of the broker's being reachable. The rest is the room that a loaded test machine needs.
constexpr absl::Duration kResumeMax = absl::Milliseconds(1500);

std::string UrlOf(int port) {
  return "mqtt://127.0.0.1:" + std::to_string(port);
}

// P1, P2: with a hub not written here.
TEST(OfflineTest, MessagesSentWhileMosquittoIsAwayArriveInOrderWhenItIsBack) {
  TempDir dir;
  Mosquitto hub(dir / "hub");
  ASSERT_TRUE(hub.Start());
  Recorder recorder(hub.port());
  ASSERT_TRUE(recorder.WaitUntilSubscribed(kPatience));
  Gateway gateway({.devices = DeviceNames(3), .upstream = hub.url()});
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 3, 200);
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(200));
  ASSERT_TRUE(recorder.WaitForMessages(600, kPatience)) << "online, everything must pass at once";

  ASSERT_TRUE(hub.Stop());
  ASSERT_TRUE(gateway.WaitForLink(LINK_STATE_OFFLINE, kPatience));
  fleet.Allow(2'000);
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(2'000)) << "a hub that is away must not keep devices waiting";
  EXPECT_TRUE(WaitFor(kPatience, [&] {  // uplink looks at the queue about once a second
    const auto status = gateway.UplinkStatus();
    return status.ok() && status->lag_messages() == 3u * 1'800u;
  }));
  EXPECT_TRUE(gateway.Serving("uplink")) << "a hub that is away is no fault of the process";

  ASSERT_TRUE(hub.Start());
  EXPECT_TRUE(recorder.WaitForMessages(6'000, kPatience));
  EXPECT_TRUE(gateway.WaitUntilDrained(kPatience));
  ExpectDelivered(fleet, recorder.Arrivals(), 0);
}

// P1: the outage outlasts the gateway itself.
TEST(OfflineTest, BacklogSurvivesARestartOfTheWholeGateway) {
  ScriptedHub hub;
  hub.SetReachable(false);
  Gateway gateway({.devices = DeviceNames(2), .upstream = UrlOf(hub.port())});
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 2, 1'000);
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(1'000));
  EXPECT_TRUE(gateway.Stop()) << "each process must end with exit code 0 on SIGTERM";
  ASSERT_TRUE(gateway.Start());
  fleet.Allow(1'500);
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(1'500));
  hub.SetReachable(true);
  EXPECT_TRUE(hub.WaitForMessages(3'000, kPatience));
  ExpectDelivered(fleet, hub.Arrivals(), 0);
}

// P1: what router has written down and would let go of waits for uplink, also if there never was one.
TEST(OfflineTest, MessagesWaitForAnUplinkThatWasNeverThere) {
  ScriptedHub hub;
  Gateway gateway({.devices = DeviceNames(1),
                   .upstream = UrlOf(hub.port()),
                   .config = {{"router.session_checkpoint_interval", "\"100ms\""}}});
  for (const char* service : {"store", "auth", "router"}) ASSERT_TRUE(gateway.Start(service));
  Fleet fleet(gateway, 1, 500);
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(500));
  EXPECT_TRUE(WaitFor(kPatience, [&] {
    const auto queue = gateway.UpstreamQueue();
    if (!queue.ok()) return false;
    for (const auto& consumer : queue->consumers()) {
      if (consumer.name() == "router" && consumer.lag_records() == 0) return true;
    }
    return false;
  }));
  EXPECT_EQ(gateway.QueueRecords("upstream"), 500u);
  ASSERT_TRUE(gateway.Start("uplink"));
  EXPECT_TRUE(hub.WaitForMessages(500, kPatience));
  ExpectDelivered(fleet, hub.Arrivals(), 0);
}

// Draining starts by itself: no new message has to come, no one has to ask.
TEST(OfflineTest, DrainingResumesWithinASecondOfTheHubBeingReachable) {
  ScriptedHub hub;
  hub.SetReachable(false);
  Gateway gateway({.upstream = UrlOf(hub.port())});
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 1, 100);
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(100));
  // The back-off has grown: by itself uplink would come much later than it must.
  ASSERT_TRUE(WaitFor(kPatience, [&] {
    const auto status = gateway.UplinkStatus();
    return status.ok() && status->next_attempt().seconds() > absl::ToUnixSeconds(absl::Now()) + 5;
  }));
  const absl::Time back = absl::Now();
  hub.SetReachable(true);
  ASSERT_TRUE(hub.WaitForMessages(1, kPatience));
  EXPECT_LE(absl::Now() - back, kResumeMax);
  EXPECT_TRUE(hub.WaitForMessages(100, kPatience));
}

// P1, P2: packet identifiers wrap, on the device's connection (100,000 each) and on the hub's (200,000).
TEST(OfflineTest, BacklogOf200000DrainsOverOneConnection) {
  ScriptedHub hub;
  hub.SetReachable(false);
  Gateway gateway({.devices = DeviceNames(2), .upstream = UrlOf(hub.port())});
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 2, 100'000, [](Publisher::Options* o) { o->window = 512; });
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(100'000, absl::Seconds(120)));
  EXPECT_EQ(fleet[0].connects(), 1u);
  hub.SetReachable(true);
  ASSERT_TRUE(hub.WaitForMessages(200'000, absl::Seconds(120)));
  EXPECT_TRUE(gateway.WaitUntilDrained(kPatience));
  EXPECT_EQ(hub.connects(), 1u);
  ExpectDelivered(fleet, hub.Arrivals(), 0);
  EXPECT_EQ(hub.Oddity(), "");
}

// Every message is recognisable as a copy of itself: P3.
TEST(OfflineTest, EachMessageCarriesAnIdOfItsOwnBesideTheDevicesProperties) {
  ScriptedHub hub;
  Gateway gateway({.upstream = UrlOf(hub.port())});
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 1, 100, [](Publisher::Options* o) { o->bag = "%24.ct=application%2Fjson&kind=a%20b&flag"; });
  ASSERT_TRUE(hub.WaitForMessages(100, kPatience));
  std::set<std::string> topics;
  for (const Arrival& arrival : hub.Arrivals()) {
    EXPECT_EQ(arrival.topic.rfind("devices/dev1/messages/events/", 0), 0u) << arrival.topic;
    EXPECT_NE(arrival.topic.find("%24.ct=application%2Fjson&kind=a%20b&flag"), std::string::npos) << arrival.topic;
    topics.insert(arrival.topic);
  }
  EXPECT_EQ(topics.size(), 100u) << "the id must differ from message to message";
}

// P2: one process after the other is stopped and started while devices publish.
TEST(OrderTest, HoldsAcrossARestartOfEachProcess) {
  ScriptedHub hub;
  Gateway gateway({.devices = DeviceNames(3), .upstream = UrlOf(hub.port())});
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 3, UINT64_MAX, [](Publisher::Options* o) { o->rate = 500; });
  for (const std::string_view service : Gateway::kServices) {
    const uint64_t before = fleet.total_acknowledged();
    ASSERT_TRUE(WaitFor(kPatience, [&] { return fleet.total_acknowledged() > before + 200; })) << "before " << service;
    EXPECT_TRUE(gateway.process(service).Stop()) << service << " does not end on SIGTERM";
    EXPECT_EQ(gateway.process(service).exit_code(), 0) << service;
    ASSERT_TRUE(gateway.Start(service)) << service;
  }
  ASSERT_TRUE(fleet.Finish());
  ASSERT_TRUE(hub.WaitForMessages(fleet.total_acknowledged(), kPatience));
  // An orderly stop repeats at most what was under way: the devices' windows at store's and router's, uplink's at its
  // own and store's.
  ExpectDelivered(fleet, hub.Arrivals(), fleet.resent() + 2 * 1024);
}

// P2, P3: the device loses its connection, the gateway does not: what it sends again is stored once.
TEST(OrderTest, HoldsAndNothingIsStoredTwiceWhenADeviceReconnects) {
  ScriptedHub hub;
  Gateway gateway({.upstream = UrlOf(hub.port())});
  ASSERT_TRUE(gateway.Start());
  for (uint16_t round = 0; round < 10; ++round) {
    // Ten messages are sent and the connection is gone before any acknowledgement is read; then all ten come again.
    std::string first;
    std::string again;
    for (uint16_t i = 0; i < 10; ++i) {
      const std::string payload = MakePayload("dev1", round * 10u + i, 64);
      mqtt::Publish publish;
      publish.topic = "devices/dev1/messages/events/";
      publish.payload = payload;
      publish.packet_id = static_cast<uint16_t>(round * 10 + i + 1);
      publish.qos = 1;
      ASSERT_EQ(mqtt::AppendPublish(publish, &first), mqtt::Error::kOk);
      publish.dup = true;
      ASSERT_EQ(mqtt::AppendPublish(publish, &again), mqtt::Error::kOk);
    }
    MqttStream stream = gateway.LoggedIn("dev1", false);
    ASSERT_TRUE(stream.open());
    ASSERT_TRUE(stream.Send(first));
    // The first copy of the last one is on its way to the hub: it is committed.
    ASSERT_TRUE(hub.WaitForMessages(round * 10u + 10, kPatience));
    stream.Close();
    stream = gateway.LoggedIn("dev1", false);
    ASSERT_TRUE(stream.open());
    ASSERT_TRUE(stream.Send(again));
    mqtt::Frame frame;
    for (uint16_t i = 0; i < 10; ++i) {
      ASSERT_EQ(stream.Read(&frame, kPatience), MqttStream::Result::kPacket);
      uint16_t id = 0;
      ASSERT_EQ(frame.type(), mqtt::PacketType::kPuback);
      ASSERT_EQ(mqtt::DecodePacketId(frame, &id), mqtt::Error::kOk);
      EXPECT_EQ(id, round * 10 + i + 1) << "acknowledgements come in the order of the messages";
    }
  }
  EXPECT_TRUE(gateway.WaitUntilDrained(kPatience));
  EXPECT_EQ(hub.total(), 100u) << "each message once";
}

}  // namespace
}  // namespace holdfast::systest
