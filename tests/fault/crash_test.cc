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
  // What the devices sent again they counted (their own windows, when store or router died). Uplink sends its window
  // again when it or store died. A dead auth costs nothing.
  const bool uplink_repeats = GetParam() != "auth" && GetParam() != "router";
  ExpectDelivered(fleet, hub.Arrivals(), (uplink_repeats ? kRounds * kUplinkWindow : 0) + fleet.resent());
  fmt::print("{}: {}; resent by devices {}\n", GetParam(), Compare(fleet.acknowledged(), hub.Arrivals()).Text(),
             fleet.resent());
}

INSTANTIATE_TEST_SUITE_P(KillNine, CrashTest, ::testing::Values("store", "auth", "router", "uplink", "all"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace holdfast::systest
