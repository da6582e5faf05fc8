// Kind iothub: twins of the gateway and of the hub become the same (P10). Router's part is played by the test: it
// reports for the clients, by lib/twin, into the store.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <random>

#include "absl/time/clock.h"
#include "lib/twin/twin_record.h"
#include "tests/system/gateway_keys.h"
#include "tests/system/hub_gateway.h"
#include "tests/system/rig.h"

namespace holdfast::systest {
namespace {

using nlohmann::json;

json Parse(const std::string& text) {
  return text.empty() ? json::object() : json::parse(text, nullptr, false);
}

class IotHubTwinTest : public testing::Test {
 protected:
  void Begin(const std::vector<std::string>& children, std::map<std::string, std::string> config = {}) {
    config.emplace("uplink.backoff_min", "\"100ms\"");
    config.emplace("uplink.backoff_max", "\"1s\"");
    rig_ = std::make_unique<HubGateway>(children, std::move(config));
    hub_ = &rig_->hub();
    gateway_ = &rig_->gateway();
    ASSERT_TRUE(rig_->StartOnline());
    keys_ = std::make_unique<GatewayKeys>(gateway_->run_dir());
  }
  void Present(const std::string& client) { keys_->SetPresent(client, WaitsForTheHub()); }
  bool WaitSynced(const std::string& client) {
    return keys_->WaitForTwin(
        client, [](const auto& twin) { return twin.synced_unix_ms() != 0; }, kPatience);
  }
  void Report(const std::string& client, const json& patch) {
    keys_->ChangeTwin(
        client, [&](twin::v1::TwinRecord* record) { EXPECT_TRUE(twin::ReportProperties(patch.dump(), record).ok()); });
  }
  // The hub's, without versions and metadata.
  json AtHub(const std::string& client, const char* section) {
    json properties = hub_->Twin(client).at("properties").at(section);
    properties.erase("$version");
    properties.erase("$metadata");
    return properties;
  }
  // Both documents are the same, and nothing is left to be told.
  bool Same(const std::string& client) {
    const auto twin = keys_->Twin(client);
    if (!twin || !twin->pending().empty() || twin->has_sending()) return false;
    return Parse(twin->desired()) == AtHub(client, "desired") && Parse(twin->reported()) == AtHub(client, "reported");
  }
  std::string Differences(const std::string& client) {
    const auto twin = keys_->Twin(client);
    return (twin ? twin->ShortDebugString() : "no record") + " hub: " + hub_->Twin(client).at("properties").dump();
  }
  void Cut() {
    hub_->SetFault({{"kind", "refuse"}});
    ASSERT_TRUE(gateway_->WaitForLink(uplink::v1::LINK_STATE_OFFLINE, kPatience));
  }

  std::unique_ptr<HubGateway> rig_;
  Hubsim* hub_ = nullptr;
  Gateway* gateway_ = nullptr;
  std::unique_ptr<GatewayKeys> keys_;
};

// P10: both sides change while the link is cut; of a client that is there, of one that left, and of the gateway itself.
TEST_F(IotHubTwinTest, WhatChangedWhileCutIsOnBothSidesAfterwards) {
  Begin({"dev1", "dev2"});
  Present("dev1");
  keys_->SetPresent("dev2", {});
  ASSERT_TRUE(WaitSynced("dev1"));
  ASSERT_TRUE(WaitSynced("dev2")) << "a twin that was never read is, though its client waits for nothing";
  ASSERT_TRUE(WaitSynced("edge/$edgeHub"));
  Cut();
  keys_->SetAbsent("dev2");
  // What the gateway reports of itself is router's to write.
  for (const std::string client : {"dev1", "dev2"}) {
    Report(client, {{"from", client}, {"list", {1, 2, 3}}});
    Report(client, {{"list", nullptr}, {"more", {{"deep", true}}}});
  }
  hub_->PatchDesired("dev1", {{"mode", "eco"}});
  hub_->PatchDesired("dev1", {{"rate", 3}});
  hub_->PatchDesired("edge/$edgeHub", {{"routes", {{"r", "FROM /* INTO $upstream"}}}});
  hub_->ClearFaults();
  for (const std::string client : {"dev1", "dev2", "edge/$edgeHub"}) {
    EXPECT_TRUE(WaitFor(kPatience, [&] { return Same(client); })) << client << ": " << Differences(client);
  }
  for (const std::string client : {"dev1", "dev2"}) {
    EXPECT_EQ(AtHub(client, "reported"), json({{"from", client}, {"more", {{"deep", true}}}}));
  }
  // Online: the hub's patches come at once.
  hub_->PatchDesired("dev1", {{"mode", nullptr}});
  EXPECT_TRUE(keys_->WaitForTwin(
      "dev1",
      [](const auto& twin) {
        return Parse(twin.desired()) == json{{"rate", 3}};
      },
      kPatience));
}

// P10: what the hub refuses for good does not stand in the way of what comes later.
TEST_F(IotHubTwinTest, RefusedPatchIsSetAsideAndLaterOnesGoOn) {
  Begin({"dev1"});
  Present("dev1");
  ASSERT_TRUE(WaitSynced("dev1"));
  hub_->SetFault({{"kind", "twin_status"}, {"operation", "patch"}, {"code", 400}, {"times", 1}});
  Report("dev1", {{"bad", 1}});
  ASSERT_TRUE(keys_->WaitForTwin(
      "dev1", [](const auto& twin) { return twin.refused_total() == 1; }, kPatience));
  Report("dev1", {{"good", 1}});
  EXPECT_TRUE(WaitFor(kPatience, [&] { return AtHub("dev1", "reported") == json{{"good", 1}}; }));
  EXPECT_TRUE(WaitFor(kPatience, [&] { return Same("dev1"); })) << Differences("dev1");
  EXPECT_EQ(Parse(keys_->Twin("dev1")->refused_patch()), json({{"bad", 1}}));
  EXPECT_NE(keys_->Twin("dev1")->refused_reason(), "");
}

// A hub that is busy is asked again, not flooded.
TEST_F(IotHubTwinTest, BusyHubIsAskedAgain) {
  Begin({"dev1"});
  hub_->SetFault({{"kind", "twin_status"}, {"device", "dev1"}, {"code", 429}, {"times", 3}});
  hub_->SetFault({{"kind", "twin_status"}, {"device", "dev1"}, {"code", 503}, {"times", 3}});
  Report("dev1", {{"a", 1}});
  Present("dev1");
  EXPECT_TRUE(WaitFor(kPatience, [&] { return Same("dev1"); })) << Differences("dev1");
  const json counters = hub_->Counters();
  EXPECT_LE(counters.at("reported_patches").get<int>() + counters.at("twin_gets").get<int>(), 12);
}

// P10: random changes on both sides, cuts, and processes that die, in any order; then both sides are the same.
TEST_F(IotHubTwinTest, WhateverHappensBothSidesAreTheSameInTheEnd) {
  const std::vector<std::string> clients = {"dev1", "dev2", "dev2/mod1"};
  Begin(clients);
  for (const std::string& client : clients) Present(client);
  const auto seed = static_cast<uint32_t>(absl::ToUnixMicros(absl::Now()));
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto pick = [&](uint32_t n) { return random() % n; };
  const auto patch = [&] {
    json p = json::object();
    for (uint32_t i = 0; i <= pick(2); ++i) {
      const std::string name(1, static_cast<char>('a' + pick(5)));
      if (pick(4) == 0) {
        p[name] = nullptr;
      } else if (pick(2) == 0) {
        p[name] = pick(1000);
      } else {
        p[name] = {{std::string(1, static_cast<char>('x' + pick(3))), pick(1000)}};
      }
    }
    return p;
  };
  constexpr int kRounds = 3;
  constexpr int kSteps = 25;
  for (int round = 0; round < kRounds; ++round) {
    bool cut = false;
    for (int step = 0; step < kSteps; ++step) {
      const std::string& client = clients[pick(3)];
      switch (pick(12)) {
        case 0:
          cut ? hub_->ClearFaults() : (void)hub_->SetFault({{"kind", "refuse"}});
          cut = !cut;
          break;
        case 1:
          hub_->Disconnect(client, true);
          break;
        case 2:
          ASSERT_TRUE(gateway_->Crash(pick(2) == 0 ? "uplink" : "store"));
          break;
        case 3:
          pick(2) == 0 ? keys_->SetAbsent(client) : Present(client);
          break;
        case 4:
        case 5:
        case 6:
          hub_->PatchDesired(client, patch());
          break;
        default:
          Report(client, patch());
      }
      if (pick(3) == 0) absl::SleepFor(absl::Milliseconds(pick(100)));
    }
    hub_->ClearFaults();
    for (const std::string& client : clients) Present(client);
    for (const std::string& client : clients) {
      EXPECT_TRUE(WaitFor(kPatience * 2, [&] { return Same(client); })) << client << ": " << Differences(client);
    }
    ASSERT_FALSE(HasFailure());
  }
}

}  // namespace
}  // namespace holdfast::systest
