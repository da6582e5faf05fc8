// Messages between the clients of one gateway, with no hub anywhere.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/system/receiver.h"
#include "tests/system/rig.h"

namespace holdfast::systest {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// clang-format off
constexpr char kSettings[] = R"json({"$edgeHub": {"properties.desired": {"schemaVersion": "1.1",
  "storeAndForwardConfiguration": {"timeToLiveSecs": 7200}, "routes": {
  "filter": "FROM /messages/modules/sensor/* INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")",
  "leaf": "FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO BrokeredEndpoint(\"/modules/leaves/inputs/in\")",
  "valve": {"route": "FROM /messages/modules/control/outputs/valve INTO BrokeredEndpoint(\"/devices/leaf/inbox\")",
            "priority": 3, "timeToLiveSecs": 600}
}}}})json";
// clang-format on

class LocalTest : public ::testing::Test {
 protected:
  LocalTest()
      : gateway_({.devices = {"gw/sensor", "gw/filter", "gw/leaves", "gw/control", "leaf"},
                  .config = {{"gateway.device_id", "\"gw\""}}}) {
    const std::string path = gateway_.dir() + "/settings.json";
    WriteFile(path, kSettings);
    gateway_.Reconfigure({{"router.settings_file", fmt::format("\"{}\"", path)}});
  }

  std::unique_ptr<Receiver> Receive(const std::string& client, size_t acknowledge_at = 1) {
    const size_t slash = client.find('/');
    auto receiver = std::make_unique<Receiver>(Receiver::Options{
        .port = gateway_.mqtt_port(),
        .client = client,
        .key = gateway_.key(client),
        .hub_hostname = std::string(gateway_.hub_hostname()),
        .filter = slash == std::string::npos ? fmt::format("devices/{}/messages/devicebound/#", client)
                                             : fmt::format("devices/{}/modules/{}/inputs/#", client.substr(0, slash),
                                                           client.substr(slash + 1)),
        .acknowledge_at = acknowledge_at});
    EXPECT_TRUE(receiver->WaitUntilSubscribed(kPatience));
    return receiver;
  }
  // P1, P2, P3.
  void ExpectAll(const Publisher& publisher, const Receiver& receiver, uint64_t duplicates_max) {
    const DeliveryReport report = Compare({{publisher.device(), publisher.acknowledged()}}, receiver.Arrivals());
    EXPECT_EQ(report.lost, 0u) << report.Text();
    EXPECT_EQ(report.out_of_order, 0u) << report.Text();
    EXPECT_LE(report.duplicates, duplicates_max) << report.Text();
  }

  Gateway gateway_;
};

// P2: and the window is no window of one.
TEST_F(LocalTest, HundredThousandMessagesBetweenTwoModulesInOrder) {
  constexpr uint64_t kCount = 100'000;
  ASSERT_TRUE(gateway_.Start());
  const auto filter = Receive("gw/filter", 16);
  const absl::Time began = absl::Now();
  Publisher::Options options = gateway_.Device("gw/sensor", kCount);
  options.window = 256;
  Publisher sensor(options);
  EXPECT_TRUE(filter->WaitForMessages(kCount, absl::Minutes(3)));
  const absl::Duration took = absl::Now() - began;
  EXPECT_TRUE(sensor.WaitUntilAcknowledged(kCount, kPatience));
  ExpectAll(sensor, *filter, 0);
  Process routes({BinDir() + "/holdfast", "--run-dir", gateway_.run_dir(), "--json", "routes"},
                 gateway_.dir() + "/routes.log");
  routes.Start();
  EXPECT_TRUE(routes.WaitForExit(kPatience));
  EXPECT_THAT(routes.Log(), AllOf(HasSubstr(R"("matched":100000,"name":"filter")"), HasSubstr(R"("unmatched":0)")));
  EXPECT_GE(filter->held_max(), 16u);
  EXPECT_EQ(filter->dups(), 0u);
  fmt::print("{} messages from module to module in {}: {:.0f}/s\n", kCount, absl::FormatDuration(took),
             static_cast<double>(kCount) / absl::ToDoubleSeconds(took));
  EXPECT_TRUE(gateway_.Stop());
}

TEST_F(LocalTest, ChildToModuleAndModuleToChild) {
  constexpr uint64_t kCount = 200;
  ASSERT_TRUE(gateway_.Start());
  const auto leaves = Receive("gw/leaves");
  const auto leaf_inbox = Receive("leaf", 8);
  Publisher::Options options = gateway_.Device("gw/control", kCount);
  options.bag = "%24.on=valve";
  {
    Publisher control(options);
    EXPECT_TRUE(leaf_inbox->WaitForMessages(kCount, kPatience));
    ExpectAll(control, *leaf_inbox, 0);
  }
  EXPECT_THAT(leaf_inbox->Arrivals()[0].topic, HasSubstr("devices/leaf/messages/devicebound/%24.on=valve&%24.cdid=gw&"
                                                         "%24.cmid=control&%24.to=%2Fdevices%2Fleaf%2Fmessages"));
  // A leaf that publishes takes the session of the one that listens over; so it is the last.
  Publisher leaf(gateway_.Device("leaf", kCount));
  EXPECT_TRUE(leaves->WaitForMessages(kCount, kPatience));
  EXPECT_THAT(leaves->Arrivals()[0].topic, HasSubstr("devices/gw/modules/leaves/inputs/in/%24.cdid=leaf&hf-hops=1"));
}

// MQTT 3.1.1, 4.4.
TEST_F(LocalTest, WhatIsNotAcknowledgedComesAgainWithDup) {
  constexpr uint64_t kCount = 10;
  ASSERT_TRUE(gateway_.Start());
  const auto filter = Receive("gw/filter");
  filter->HoldAcknowledgements(true);
  Publisher sensor(gateway_.Device("gw/sensor", kCount));
  ASSERT_TRUE(filter->WaitForMessages(kCount, kPatience));
  EXPECT_EQ(filter->dups(), 0u);
  filter->Break();
  const absl::Time deadline = absl::Now() + kPatience;
  while (filter->dups() < kCount && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_EQ(filter->dups(), kCount);
  filter->HoldAcknowledgements(false);
  while (gateway_.QueueRecords("inputs/gw/filter") > 0 && absl::Now() < deadline)
    absl::SleepFor(absl::Milliseconds(10));
  EXPECT_EQ(gateway_.QueueRecords("inputs/gw/filter"), 0u);
  ExpectAll(sensor, *filter, kCount);
}

// P1, P2, P3, P4: whatever is killed, at any time, with no word from the receiver: its subscription is kept.
TEST_F(LocalTest, GoesOnAfterRouterOrStoreOrAllAreKilled) {
  ASSERT_TRUE(gateway_.Start());
  const auto filter = Receive("gw/filter", 16);
  Publisher::Options options = gateway_.Device("gw/sensor");
  options.rate = 2000;
  Publisher sensor(options);
  uint64_t expected = 500;
  int crashes = 0;
  for (int round = 0; round < 2; ++round) {
    for (const char* victim : {"router", "store", "all"}) {
      ASSERT_TRUE(filter->WaitForMessages(expected, kPatience)) << victim << " " << filter->different();
      if (std::string_view(victim) == "all") {
        gateway_.KillAll();
        ASSERT_TRUE(gateway_.Start());
      } else {
        ASSERT_TRUE(gateway_.Crash(victim));
      }
      ++crashes;
      expected = filter->different() + 500;
    }
  }
  ASSERT_TRUE(filter->WaitForMessages(expected, kPatience));
  ASSERT_TRUE(sensor.Finish(kPatience));
  ASSERT_TRUE(filter->WaitForMessages(sensor.acknowledged(), kPatience));
  EXPECT_GE(filter->connects(), 5u);
  // A crash: what the receiver had and router had not committed, which is a window and what came while a Commit was
  // under way (8,192 at most, DeliveryWindow::Limits::open_max), and what the sender had and router had not
  // acknowledged.
  ExpectAll(sensor, *filter, static_cast<uint64_t>(crashes) * (8192 + 32));
}

}  // namespace
}  // namespace holdfast::systest
