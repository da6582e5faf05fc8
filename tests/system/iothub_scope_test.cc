// The hub's device scope at the gateway: who is let in follows what the hub says, and nothing that goes wrong on the
// way changes anything.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "tests/system/hub_gateway.h"
#include "tests/system/rig.h"
#include "tests/system/sas.h"

namespace holdfast::systest {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class IotHubScopeTest : public testing::Test {
 protected:
  void Begin(const std::vector<std::string>& children, const std::map<std::string, std::string>& config = {}) {
    rig_ = std::make_unique<HubGateway>(children, config);
    gateway_ = &rig_->gateway();
    hub_ = &rig_->hub();
    ASSERT_TRUE(rig_->StartOnline());
  }
  std::optional<mqtt::ConnackCode> Login(const std::string& device, const std::string& key) {
    return gateway_->TryLogin(device, SasToken(Gateway::hub_hostname(), device, key));
  }
  // The hub asks for a sync, by direct method.
  HttpAnswer Refresh(const json& payload = nullptr) {
    return hub_->Invoke("edge/$edgeHub", "RefreshDeviceScopeIdentityCache", payload);
  }
  uplink::v1::ScopeSync Scope() { return rig_->Status().scope(); }

  std::unique_ptr<HubGateway> rig_;
  Gateway* gateway_ = nullptr;
  Hubsim* hub_ = nullptr;
};

constexpr auto kAccepted = mqtt::ConnackCode::kAccepted;
constexpr auto kNotAuthorized = mqtt::ConnackCode::kNotAuthorized;

// P5, P4: before the first sync nobody; after it the children; and then without the hub.
TEST_F(IotHubScopeTest, FirstSyncLetsTheChildrenInAndLastsWithoutTheHub) {
  rig_ = std::make_unique<HubGateway>(std::vector<std::string>{"dev1"}, std::map<std::string, std::string>{});
  gateway_ = &rig_->gateway();
  hub_ = &rig_->hub();
  const uint64_t fault = hub_->SetFault({{"kind", "rest_status"}, {"code", 503}});
  const std::string key = hub_->Key("dev1");
  ASSERT_TRUE(gateway_->Start());
  ASSERT_TRUE(WaitFor(kPatience, [&] { return hub_->Struck(fault) > 0; }));
  EXPECT_EQ(Login("dev1", key), mqtt::ConnackCode::kServerUnavailable);
  ASSERT_TRUE(WaitFor(kPatience, [&] { return !Scope().last_error().empty(); }));
  EXPECT_THAT(Scope().last_error(), HasSubstr("503"));
  EXPECT_TRUE(gateway_->WaitForLink(uplink::v1::LINK_STATE_ONLINE, kPatience)) << "the attempt has ended";
  hub_->ClearFaults();
  EXPECT_TRUE(WaitFor(kPatience, [&] { return Login("dev1", key) == kAccepted; })) << "by itself";
  EXPECT_EQ(Scope().last_error(), "");
  EXPECT_EQ(Scope().identities(), 4u) << "edge, $edgeHub, $edgeAgent, dev1";

  hub_->Stop();
  ASSERT_TRUE(gateway_->Stop());
  ASSERT_TRUE(gateway_->Start());
  EXPECT_TRUE(WaitFor(kPatience, [&] { return Login("dev1", key) == kAccepted; }));
}

// P11: within one sync its connection is closed, and it can't return.
TEST_F(IotHubScopeTest, RemovedChildIsOutWithinASync) {
  Begin({"dev1", "dev2"});
  const std::string key = hub_->Key("dev1");
  Publisher dev1(rig_->Device("dev1", 1));
  Publisher dev2(rig_->Device("dev2", 1));
  ASSERT_TRUE(dev1.WaitUntilAcknowledged(1, kPatience));
  ASSERT_TRUE(dev2.WaitUntilAcknowledged(1, kPatience));
  hub_->Remove("dev1");
  const HttpAnswer answer = Refresh();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body.at("status"), 200) << answer.body;
  EXPECT_EQ(answer.body.at("payload").at("unchanged"), 4) << "edge, its two modules, dev2: " << answer.body;
  EXPECT_TRUE(WaitFor(kPatience, [&] { return dev1.refused() == kNotAuthorized; })) << "it came back and was refused";
  EXPECT_EQ(Login("dev1", key), kNotAuthorized);
  EXPECT_EQ(dev2.connects(), 1u) << "the other one noticed nothing";
}

// P11: a snapshot does it alone: no client that fails and no connection to the hub that is refused has asked for dev1.
TEST_F(IotHubScopeTest, SnapshotAlonePutsARemovedChildOut) {
  Begin({"dev1", "dev2"}, {{"auth.on_demand_wait", "\"0s\""}});
  const std::string key = hub_->Key("dev1");
  Publisher dev1(rig_->Device("dev1", 0));  // it sends nothing, so it has no connection to the hub
  ASSERT_TRUE(WaitFor(kPatience, [&] { return dev1.connects() == 1; }));
  const auto asked = [&] { return hub_->Counters().at("scope_identities").get<uint64_t>(); };
  const uint64_t asked_before = asked();
  hub_->Remove("dev1");
  EXPECT_EQ(Refresh().body.at("payload").at("removed"), 1);
  EXPECT_TRUE(WaitFor(kPatience, [&] { return dev1.refused() == kNotAuthorized; }))
      << "closed, and refused at its return";
  EXPECT_EQ(Login("dev1", key), kNotAuthorized);
  EXPECT_EQ(Scope().identities(), 4u) << "edge, its two modules, dev2";
  EXPECT_EQ(asked(), asked_before) << "nobody was asked for";
}

// A page that fails, is another document or half of one: everything stays as it was.
TEST_F(IotHubScopeTest, FailedPageChangesNothing) {
  Begin(DeviceNames(30), {{"uplink.scope_page_size", "10"}});
  const std::string key = hub_->Key("dev30");
  const std::string key9 = hub_->Key("dev9");
  hub_->Remove("dev30");
  for (const json& fault :
       {json{{"kind", "rest_page"}, {"page", 2}, {"code", 500}}, json{{"kind", "rest_wrong_json"}},
        json{{"kind", "rest_truncated_json"}}, json{{"kind", "rest_status"}, {"code", 429}, {"retry_after", 1}},
        json{{"kind", "rest_status"}, {"code", 403}}}) {
    const uint64_t id = hub_->SetFault(fault);
    const HttpAnswer answer = Refresh();
    EXPECT_EQ(answer.body.value("status", 0), 500) << fault << answer.body;
    EXPECT_GT(hub_->Struck(id), 0u) << fault;
    EXPECT_NE(Scope().last_error(), "") << fault;
    EXPECT_EQ(Login("dev30", key), kAccepted) << fault;
    EXPECT_EQ(Login("dev9", key9), kAccepted) << fault;
    hub_->ClearFaults();
  }
  EXPECT_EQ(Refresh().body.value("status", 0), 200);
  EXPECT_EQ(Login("dev30", key), kNotAuthorized);
}

// A child that is new at the hub is let in at its first attempt: the gateway asks while it waits.
TEST_F(IotHubScopeTest, NewChildIsFoundOnDemand) {
  Begin({"dev1"});
  hub_->PutLeaf("dev2", "edge");
  EXPECT_EQ(Login("dev2", hub_->Key("dev2")), kAccepted);
  // And by name, when the hub asks for it.
  hub_->PutLeaf("dev3", "edge");
  EXPECT_EQ(Refresh({{"deviceIds", {"dev3"}}}).body.value("status", 0), 200);
  const auto identities = [&] { return gateway_->UplinkStatus().ok(); };
  EXPECT_TRUE(identities());
  EXPECT_TRUE(WaitFor(kPatience, [&] { return Login("dev3", hub_->Key("dev3")) == kAccepted; }));
  EXPECT_EQ(Login("nobody", NewKey()), kNotAuthorized);
}

TEST_F(IotHubScopeTest, FlatShapeOnlyHub) {
  Begin(DeviceNames(25), {{"uplink.scope_api", "\"flat\""}, {"uplink.scope_page_size", "10"}});
  EXPECT_EQ(Scope().identities(), 28u) << "edge, its two modules, 25 children";
  EXPECT_EQ(hub_->Counters().at("scope_pages"), 3);
}

// A hub without the nested shape: fall back.
TEST_F(IotHubScopeTest, FallsBackToTheFlatShape) {
  rig_ = std::make_unique<HubGateway>(std::vector<std::string>{"dev1"}, std::map<std::string, std::string>{});
  rig_->hub().SetFault({{"kind", "rest_status"}, {"code", 404}, {"path", "InTargetDeviceScope"}});
  gateway_ = &rig_->gateway();
  ASSERT_TRUE(gateway_->Start());
  ASSERT_TRUE(gateway_->WaitForLink(uplink::v1::LINK_STATE_ONLINE, kPatience));
  EXPECT_EQ(Login("dev1", rig_->hub().Key("dev1")), kAccepted);
}

// Children of a child gateway: known here, and spoken for with the whole chain.
TEST_F(IotHubScopeTest, ChildrenOfAChildGateway) {
  rig_ = std::make_unique<HubGateway>(std::vector<std::string>{"dev1"}, std::map<std::string, std::string>{});
  hub_ = &rig_->hub();
  gateway_ = &rig_->gateway();
  hub_->PutEdge("edge2", "edge");
  hub_->PutLeaf("leaf", "edge2");
  ASSERT_TRUE(gateway_->Start());
  ASSERT_TRUE(gateway_->WaitForLink(uplink::v1::LINK_STATE_ONLINE, kPatience));
  EXPECT_EQ(Scope().last_error(), "");
  EXPECT_EQ(Login("leaf", hub_->Key("leaf")), kAccepted);
  Publisher leaf(rig_->Device("leaf", 10));
  ASSERT_TRUE(leaf.WaitUntilAcknowledged(10, kPatience));
  EXPECT_TRUE(WaitFor(kPatience, [&] { return rig_->ReceivedOf("leaf") == 10; }));
}

// 1,000 children: see docs/benchmarks.md.
TEST_F(IotHubScopeTest, ThousandChildren) {
  rig_ = std::make_unique<HubGateway>(std::vector<std::string>{},
                                      std::map<std::string, std::string>{{"uplink.scope_page_size", "10"}});
  hub_ = &rig_->hub();
  gateway_ = &rig_->gateway();
  for (const std::string& name : DeviceNames(1000)) hub_->PutLeaf(name, "edge");
  ASSERT_TRUE(gateway_->Start());
  ASSERT_TRUE(WaitFor(kPatience * 2, [&] { return Scope().identities() == 1003u; }));
  const auto took = absl::Seconds(Scope().took().seconds()) + absl::Nanoseconds(Scope().took().nanos());
  for (const char* service : {"uplink", "auth"}) {
    const std::string status = ReadFile(fmt::format("/proc/{}/status", gateway_->process(service).pid()));
    const size_t at = status.find("VmRSS:");
    fmt::print("{} {}\n", service, status.substr(at, status.find('\n', at) - at));
  }
  fmt::print("1,000 children, 101 pages: {}\n", absl::FormatDuration(took));
  EXPECT_LT(took, absl::Seconds(20));
  EXPECT_EQ(Login("dev1000", hub_->Key("dev1000")), kAccepted);
}

}  // namespace
}  // namespace holdfast::systest
