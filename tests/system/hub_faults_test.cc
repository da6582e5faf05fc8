// Hubs and links that misbehave.
#include <gtest/gtest.h>

#include "tests/system/mosquitto.h"
#include "tests/system/recorder.h"
#include "tests/system/rig.h"
#include "tests/system/scripted_hub.h"
#include "tests/system/tcp_proxy.h"

namespace holdfast::systest {
namespace {

using uplink::v1::LINK_STATE_ONLINE;

constexpr uint64_t kWindow = 100;
constexpr std::string_view kUplinkService = "holdfast.uplink.v1.UplinkStatus";

std::string UrlOf(int port) {
  return "mqtt://127.0.0.1:" + std::to_string(port);
}

std::map<std::string, std::string> FastToSuspect() {
  return {{"uplink.inflight_count_max", std::to_string(kWindow)},
          {"uplink.ack_timeout", "1"},
          {"uplink.stall_timeout", "2"},
          {"uplink.backoff_max", "1"}};
}

// P1, P3, P12: nothing is taken as delivered without an acknowledgement, and no more than the window is ever under way.
TEST(HubFaultsTest, HubThatNeverAcknowledgesIsReportedAsStalledAndLosesNothing) {
  ScriptedHub hub;
  hub.SetAcknowledging(false);
  Gateway gateway({.devices = DeviceNames(2), .upstream = UrlOf(hub.port()), .config = FastToSuspect()});
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 2, 1'000);
  EXPECT_TRUE(fleet.WaitUntilAcknowledged(1'000)) << "devices must not feel it";
  EXPECT_TRUE(WaitFor(kPatience, [&] {
    const auto status = gateway.UplinkStatus();
    return status.ok() && status->stalled();
  }));
  EXPECT_TRUE(WaitFor(kPatience, [&] { return !gateway.Serving("uplink", kUplinkService); }))
      << "stalled must show in the health of what is stalled";
  EXPECT_TRUE(gateway.Serving("uplink")) << "and not make a supervisor restart the process";
  const auto status = gateway.UplinkStatus();
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->lag_messages(), 2'000u);
  EXPECT_EQ(status->delivered(), 0u);
  EXPECT_LE(hub.different(), kWindow);
  const uint64_t connects = hub.connects();

  hub.SetAcknowledging(true);
  ASSERT_TRUE(hub.WaitForMessages(2'000, kPatience));
  EXPECT_TRUE(gateway.WaitUntilDrained(kPatience));
  EXPECT_TRUE(WaitFor(kPatience, [&] { return gateway.Serving("uplink", kUplinkService); }));
  // Each connection that it gave up and the one after may have brought the window once.
  ExpectDelivered(fleet, hub.Arrivals(), kWindow * (connects + 2));
}

// P1, P2, P3
TEST(HubFaultsTest, HubThatDropsTheConnectionMidWindowCostsOnlyCopies) {
  ScriptedHub hub;
  constexpr int kDrops = 20;
  hub.DropEvery(150, 60, kDrops);
  Gateway gateway({.devices = DeviceNames(2), .upstream = UrlOf(hub.port()), .config = FastToSuspect()});
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 2, 3'000);
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(3'000));
  ASSERT_TRUE(hub.WaitForMessages(6'000, kPatience));
  EXPECT_TRUE(gateway.WaitUntilDrained(kPatience));
  EXPECT_EQ(hub.drops(), uint64_t{kDrops});
  ExpectDelivered(fleet, hub.Arrivals(), kDrops * kWindow);
}

// P1, P2: the link dies without a word (radio, NAT), and comes back.
TEST(HubFaultsTest, HalfOpenLinkIsNoticedAndAfterwardsDrained) {
  ScriptedHub hub;
  TcpProxy proxy(hub.port());
  Gateway gateway({.devices = DeviceNames(2), .upstream = UrlOf(proxy.port()), .config = FastToSuspect()});
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 2, 500);
  ASSERT_TRUE(hub.WaitForMessages(1'000, kPatience));

  proxy.SetSilent(true);
  fleet.Allow(1'000);
  EXPECT_TRUE(fleet.WaitUntilAcknowledged(1'000));
  EXPECT_TRUE(WaitFor(kPatience, [&] {
    const auto status = gateway.UplinkStatus();
    return status.ok() && status->state() != LINK_STATE_ONLINE && !status->reason().empty();
  })) << "a silent link must not pass for a live one";

  proxy.SetSilent(false);
  ASSERT_TRUE(hub.WaitForMessages(2'000, kPatience));
  EXPECT_TRUE(gateway.WaitUntilDrained(kPatience));
  ExpectDelivered(fleet, hub.Arrivals(), 2 * kWindow);
}

// The process behind the hub's port stands still: TCP acknowledges, MQTT does not.
TEST(HubFaultsTest, FrozenMosquittoIsNoticedAndAfterwardsDrained) {
  TempDir dir;
  Mosquitto hub(dir / "hub");
  ASSERT_TRUE(hub.Start());
  Recorder recorder(hub.port());
  ASSERT_TRUE(recorder.WaitUntilSubscribed(kPatience));
  Gateway gateway({.devices = DeviceNames(2), .upstream = hub.url(), .config = FastToSuspect()});
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 2, 200);
  ASSERT_TRUE(recorder.WaitForMessages(400, kPatience));
  hub.Freeze();
  fleet.Allow(400);
  EXPECT_TRUE(fleet.WaitUntilAcknowledged(400));
  EXPECT_TRUE(WaitFor(kPatience, [&] {
    const auto status = gateway.UplinkStatus();
    return status.ok() && status->state() != LINK_STATE_ONLINE;
  }));
  const auto before = gateway.UplinkStatus();
  ASSERT_TRUE(before.ok());
  hub.Thaw();
  EXPECT_TRUE(recorder.WaitForMessages(800, kPatience));
  // Each attempt made meanwhile may have left a window in the frozen broker's sockets.
  ExpectDelivered(fleet, recorder.Arrivals(), kWindow * (before->connects() + 1));
}

}  // namespace
}  // namespace holdfast::systest
