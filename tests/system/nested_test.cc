// A gateway below a gateway below the hub: hubsim ← parent ← child ← devices, of the real binaries. The child knows the
// parent only: it connects there, and asks there who is below it.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "lib/pki/certificate.h"
#include "lib/pki/private_key.h"
#include "tests/system/gateway.h"
#include "tests/system/https_client.h"
#include "tests/system/hubsim.h"
#include "tests/system/rig.h"
#include "tests/system/sas.h"
#include "tests/system/tcp_proxy.h"
#include "tests/system/tls_device.h"

namespace holdfast::systest {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Config = std::map<std::string, std::string>;

constexpr auto kAccepted = mqtt::ConnackCode::kAccepted;
constexpr auto kNotAuthorized = mqtt::ConnackCode::kNotAuthorized;
constexpr uint64_t kWindow = 4096;

std::string Quoted(const std::string& text) {
  return "\"" + text + "\"";
}

class NestedTest : public testing::Test {
 protected:
  NestedTest() : parent_mqtts_(FreePort()), parent_https_(FreePort()), way_(parent_mqtts_) {
    MakeCertificate();
    hub_.PutEdge("parent");
    hub_.PutEdge("child", "parent");
    hub_.PutLeaf("leaf", "child");
    hub_.PutModule("child", "sensor");
    hub_.PutLeaf("near", "parent");
    parent_ = Make("parent", hub_.mqtts_port(), hub_.rest_url(), hub_.ca_file(),
                   {{"router.mqtts_address", Quoted(fmt::format("127.0.0.1:{}", parent_mqtts_))},
                    {"router.https_address", Quoted(fmt::format("127.0.0.1:{}", parent_https_))},
                    {"router.certificate_file", Quoted(dir_ / "server.pem")},
                    {"router.private_key_file", Quoted(dir_ / "server.key")}});
    child_ = MakeChild("child", {{"uplink.scope_refresh_interval", "\"1s\""}});
  }

  std::unique_ptr<Gateway> MakeChild(const std::string& id, Config config) {
    return Make(id, way_.port(), fmt::format("https://localhost:{}", parent_https_), dir_ / "ca.pem",
                std::move(config));
  }

  // A CA, and a certificate of it for the parent's name.
  void MakeCertificate() {
    const absl::Time now = absl::Now();
    const auto ca_key = pki::PrivateKey::Generate();
    const auto key = pki::PrivateKey::Generate();
    const auto ca = pki::MakeRootCa(*ca_key, "parent's CA", now);
    const auto certificate = pki::MakeServerCertificate(*key, {"localhost"}, *ca, *ca_key, now);
    WriteFile(dir_ / "ca.pem", ca->ToPem());
    WriteFile(dir_ / "server.pem", certificate->ToPem() + ca->ToPem());
    WriteFile(dir_ / "server.key", key->ToPem());
  }

  std::unique_ptr<Gateway> Make(const std::string& id, int upstream_port, const std::string& rest_url,
                                const std::string& ca_file, Config config) {
    const std::string credential = dir_ / (id + "_connection_string");
    WriteFile(credential, hub_.ConnectionString(id + "/$edgeHub") + "\n");
    std::filesystem::permissions(credential, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    config["auth.identities_file"] = "\"\"";
    config["auth.hub_connection_string_file"] = Quoted(credential);
    config["uplink.hub_rest_url"] = Quoted(rest_url);
    config["uplink.ca_file"] = Quoted(ca_file);
    config["uplink.ack_timeout"] = "\"1s\"";
    config["uplink.ping_timeout"] = "\"1s\"";
    config["uplink.keep_alive"] = "\"2s\"";
    config["uplink.backoff_max"] = "\"2s\"";
    return std::make_unique<Gateway>(Gateway::Options{.devices = {},
                                                      .upstream = fmt::format("iothub://localhost:{}", upstream_port),
                                                      .config = std::move(config),
                                                      .identities = false});
  }

  static bool StartOnline(Gateway& gateway) {
    return gateway.Start() && gateway.WaitForLink(uplink::v1::LINK_STATE_ONLINE, kPatience);
  }
  void Begin() {
    ASSERT_TRUE(StartOnline(*parent_));
    ASSERT_TRUE(StartOnline(*child_));
    ASSERT_TRUE(WaitFor(kPatience, [&] { return Identities(*child_) > 0; }));
  }
  static uint32_t Identities(const Gateway& gateway) {
    const auto status = gateway.UplinkStatus();
    return status.ok() ? status->scope().identities() : 0;
  }
  void CutHub() {
    hub_.SetFault({{"kind", "refuse"}});
    ASSERT_TRUE(parent_->WaitForLink(uplink::v1::LINK_STATE_OFFLINE, kPatience));
  }

  std::optional<mqtt::ConnackCode> Login(const Gateway& at, const std::string& id) {
    return at.TryLogin(id, SasToken(hub_.hostname(), id, keys_.contains(id) ? keys_.at(id) : hub_.Key(id)));
  }
  Publisher::Options Device(const std::string& id, uint64_t count = UINT64_MAX) {
    return {.port = child_->mqtt_port(),
            .device = id,
            .key = hub_.Key(id),
            .hub_hostname = hub_.hostname(),
            .count = count};
  }
  // A device at the child that does what the test says.
  std::unique_ptr<TlsDevice> Client(const std::string& id) {
    mqtt::Client::Options options;
    options.host = "127.0.0.1";
    options.port = static_cast<uint16_t>(child_->mqtt_port());
    options.client_id = id;
    options.user_name = hub_.hostname() + "/" + id + "/?api-version=2021-04-12";
    options.password = SasToken(hub_.hostname(), id, hub_.Key(id));
    return std::make_unique<TlsDevice>(std::move(options));
  }
  // The first message that came on such a topic with such a text.
  static std::optional<TlsDevice::Message> WaitForTopic(const TlsDevice& device, std::string_view prefix,
                                                        std::string_view text = "") {
    std::optional<TlsDevice::Message> found;
    WaitFor(kPatience, [&] {
      for (const TlsDevice::Message& message : device.received()) {
        if (message.topic.starts_with(prefix) && message.payload.find(text) != std::string::npos) found = message;
        if (found) return true;
      }
      return false;
    });
    return found;
  }
  std::string EdgeHubToken(const std::string& gateway) {
    return SasToken(hub_.hostname(), gateway, hub_.Key(gateway + "/$edgeHub"), 3600, "$edgeHub");
  }
  // A CONNECT at the parent with an auth-chain, by the child's token.
  std::optional<mqtt::ConnackCode> OnBehalf(const std::string& id, const std::string& chain) {
    MqttStream stream = MqttStream::Connect(parent_->mqtt_port());
    const std::string user = fmt::format("{}/{}/?api-version=2021-04-12&auth-chain={}", hub_.hostname(), id, chain);
    const std::string password = EdgeHubToken("child");
    mqtt::Connect connect;
    connect.client_id = id;
    connect.clean_session = true;
    connect.keep_alive_seconds = 60;
    connect.has_user_name = connect.has_password = true;
    connect.user_name = user;
    connect.password = password;
    return stream.Login(connect);
  }
  // A request to the parent's scope API.
  HttpsAnswer AskParent(const std::string& gateway, const std::string& what, const json& body,
                        const std::string& authorization, const std::string& module = "$edgeHub") {
    const auto answer =
        Ask({.port = parent_https_,
             .ca_file = dir_ / "ca.pem",
             .method = "POST",
             .target = fmt::format("/devices/{}/modules/{}/{}?api-version=2020-06-30-preview", gateway, module, what),
             .authorization = authorization,
             .body = body.dump()});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.value_or(HttpsAnswer());
  }

  // Telemetry as it came to the hub; each message must have come as its sender's, by the parent's word.
  std::vector<Arrival> Arrivals() {
    std::vector<Arrival> arrivals;
    for (const HubEvent& event : hub_.Events()) {
      Arrival arrival;
      if (!ParsePayload(event.body, &arrival)) continue;
      EXPECT_EQ(event.actor, "parent");
      arrival.topic = event.module_id.empty() ? fmt::format("devices/{}/", event.device_id)
                                              : fmt::format("devices/{}/{}/", event.device_id, event.module_id);
      arrivals.push_back(std::move(arrival));
    }
    return arrivals;
  }
  void ExpectAll(const std::vector<Publisher*>& publishers, uint64_t duplicates_max) {
    ASSERT_TRUE(child_->WaitUntilDrained(kPatience * 2));
    ASSERT_TRUE(parent_->WaitUntilDrained(kPatience * 2));
    std::map<std::string, uint64_t> acknowledged;
    for (Publisher* publisher : publishers) acknowledged[publisher->device()] = publisher->acknowledged();
    const DeliveryReport report = Compare(acknowledged, Arrivals());
    EXPECT_GT(report.acknowledged, 0u) << report.Text();
    EXPECT_EQ(report.lost, 0u) << report.Text();
    EXPECT_EQ(report.out_of_order, 0u) << report.Text();
    EXPECT_LE(report.duplicates, duplicates_max) << report.Text();
    EXPECT_EQ(report.wrong_topic, 0u) << report.Text();
  }

  Hubsim hub_;
  const TempDir dir_;
  const int parent_mqtts_;
  const int parent_https_;
  TcpProxy way_;  // of the child's MQTT to the parent
  std::map<std::string, std::string> keys_;
  std::unique_ptr<Gateway> parent_;
  std::unique_ptr<Gateway> child_;
};

// P4, P6: one sync through the parent, of those below the child and nobody else; then without anybody, over restarts.
TEST_F(NestedTest, FirstSyncGoesThroughTheParentAndLastsWithoutIt) {
  Begin();
  EXPECT_EQ(Login(*child_, "leaf"), kAccepted);
  EXPECT_EQ(Login(*child_, "near"), kNotAuthorized) << "a device of the parent's own";
  EXPECT_EQ(Identities(*child_), 5u) << "child, its $edgeHub, $edgeAgent and sensor, leaf";
  keys_["leaf"] = hub_.Key("leaf");
  ASSERT_TRUE(parent_->Stop());
  hub_.Stop();
  ASSERT_TRUE(child_->Stop());
  ASSERT_TRUE(child_->Start());
  EXPECT_TRUE(WaitFor(kPatience, [&] { return Login(*child_, "leaf") == kAccepted; }));
}

// P4: a child that comes up for the first time while the hub is away is told what its parent knows.
TEST_F(NestedTest, ChildComesUpWhileTheHubIsAway) {
  ASSERT_TRUE(StartOnline(*parent_));
  ASSERT_TRUE(WaitFor(kPatience, [&] { return Identities(*parent_) > 0; }));
  CutHub();
  keys_["leaf"] = hub_.Key("leaf");
  ASSERT_TRUE(StartOnline(*child_)) << "the parent is its hub";
  EXPECT_TRUE(WaitFor(kPatience, [&] { return Login(*child_, "leaf") == kAccepted; }));
}

// P1, P2, P3: messages come to the hub as those of who sent them, in order, whichever link is cut, and when everything
// is killed in between. Each message has one id, by which copies of either way are recognised.
TEST_F(NestedTest, NothingIsLostAndOrderHoldsWhicheverLinkIsCut) {
  Begin();
  Publisher leaf(Device("leaf", 300));
  Publisher sensor(Device("child/sensor", 300));
  const auto publish = [&](uint64_t count) {
    leaf.Allow(count);
    sensor.Allow(count);
    ASSERT_TRUE(leaf.WaitUntilAcknowledged(count, kPatience));
    ASSERT_TRUE(sensor.WaitUntilAcknowledged(count, kPatience));
  };
  publish(300);
  ASSERT_TRUE(hub_.WaitForMessages(600, kPatience));

  CutHub();
  publish(600);
  ASSERT_TRUE(child_->WaitUntilDrained(kPatience)) << "the parent takes them for the hub";

  way_.SetSilent(true);
  publish(900);
  ASSERT_TRUE(child_->WaitForLink(uplink::v1::LINK_STATE_OFFLINE, kPatience));

  parent_->KillAll();
  child_->KillAll();
  ASSERT_TRUE(child_->Start());
  ASSERT_TRUE(parent_->Start());
  publish(1200);
  way_.SetSilent(false);
  hub_.ClearFaults();
  ExpectAll({&leaf, &sensor}, 3 * kWindow);

  std::map<std::string, std::set<std::string>> ids;  // of each body
  for (const HubEvent& event : hub_.Events()) ids[event.body].insert(event.properties.at("hf-id"));
  const auto queue = child_->UpstreamQueue();
  ASSERT_TRUE(queue.ok()) << queue.status();
  for (const auto& [body, of_it] : ids) {
    EXPECT_EQ(of_it.size(), 1u) << body;
    EXPECT_THAT(*of_it.begin(), StartsWith(queue->incarnation() + "-")) << "the child's, not the parent's";
  }
}

// P1, P2: the parent's uplink begins anew, and the hub's scope API is away: it still knows the way to the leaf.
TEST_F(NestedTest, ParentThatCanNotSyncStillSpeaksForTheLeaf) {
  Begin();
  Publisher leaf(Device("leaf", 10));
  ASSERT_TRUE(leaf.WaitUntilAcknowledged(10, kPatience));
  ASSERT_TRUE(hub_.WaitForMessages(10, kPatience));
  hub_.SetFault({{"kind", "rest_status"}, {"code", 503}});
  ASSERT_TRUE(parent_->Crash("uplink"));
  leaf.Allow(20);
  ASSERT_TRUE(leaf.WaitUntilAcknowledged(20, kPatience));
  EXPECT_TRUE(hub_.WaitForMessages(20, kPatience));
  EXPECT_EQ(parent_->QueueRecords("upstream/dead"), 0u);
  ExpectAll({&leaf}, 256);
}

// P1, P10: what the hub has for a client passes both gateways: messages, method calls and twins, there and back.
TEST_F(NestedTest, WhatTheHubHasForTheLeafPassesBothGateways) {
  Begin();
  const auto leaf = Client("leaf");
  ASSERT_TRUE(leaf->WaitConnected());
  leaf->Subscribe({"devices/leaf/messages/devicebound/#"});
  leaf->Subscribe({"$iothub/methods/POST/#", "$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"}, 0);

  hub_.SendToDevice("leaf", "from afar");
  const auto message = WaitForTopic(*leaf, "devices/leaf/messages/devicebound/");
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->payload, "from afar");

  const auto invoke = [&] { return hub_.Invoke("leaf", "reboot", {{"delay", 3}}, 30, 20); };
  auto answer = std::async(std::launch::async, invoke);
  const auto call = WaitForTopic(*leaf, "$iothub/methods/POST/reboot/");
  ASSERT_TRUE(call.has_value());
  EXPECT_EQ(json::parse(call->payload), json({{"delay", 3}}));
  leaf->Publish("$iothub/methods/res/217/" + call->topic.substr(call->topic.find('?')), "true", 0);
  EXPECT_EQ(answer.get().body.value("status", 0), 217);

  hub_.PatchDesired("leaf", {{"mode", "eco"}});
  EXPECT_TRUE(WaitForTopic(*leaf, "$iothub/twin/PATCH/properties/desired/", R"("mode":"eco")"));
  leaf->Publish("$iothub/twin/PATCH/properties/reported/?$rid=1", R"({"mode":"eco"})", 0);
  EXPECT_TRUE(WaitFor(kPatience, [&] {
    return hub_.Twin("leaf").at("properties").at("reported").value("mode", "") == "eco";
  })) << hub_.Twin("leaf");
}

// P1: a leaf has moved to another child gateway while its messages lay at the parent, and the parent can't sync yet:
// the hub refuses the way that the parent knows, and that must not be taken for an end of the leaf.
TEST_F(NestedTest, MessagesOfALeafThatMovesBetweenChildrenWaitForTheSync) {
  hub_.PutEdge("second", "parent");
  Begin();
  Publisher leaf(Device("leaf", 10));
  ASSERT_TRUE(leaf.WaitUntilAcknowledged(10, kPatience));
  ASSERT_TRUE(hub_.WaitForMessages(10, kPatience));
  CutHub();
  leaf.Allow(20);
  ASSERT_TRUE(leaf.WaitUntilAcknowledged(20, kPatience));
  ASSERT_TRUE(child_->WaitUntilDrained(kPatience));
  hub_.PutLeaf("leaf", "second");
  hub_.ClearFaults();
  const uint64_t no_sync =
      hub_.SetFault({{"kind", "rest_status"}, {"code", 503}, {"path", "devicesAndModulesInTargetDeviceScope"}});
  // Refused, and asked about.
  const auto is_doubtful = [&] {
    return parent_->process("uplink").Log().find("not as ours identity=leaf") != std::string::npos;
  };
  ASSERT_TRUE(WaitFor(kPatience, is_doubtful));
  ASSERT_TRUE(WaitFor(kPatience, [&] { return hub_.Struck(no_sync) > 0; }));
  hub_.ClearFaults();
  EXPECT_TRUE(hub_.WaitForMessages(20, kPatience));
  EXPECT_EQ(parent_->QueueRecords("upstream/dead"), 0u);
}

// P11: what a child gateway says of another's device is not believed, and does that device no harm.
TEST_F(NestedTest, ChildThatLiesAboutOthersHarmsNobody) {
  Begin();
  Publisher::Options as_near = Device("near", 1);
  as_near.port = parent_->mqtt_port();
  Publisher near(as_near);
  ASSERT_TRUE(near.WaitUntilAcknowledged(1, kPatience));
  EXPECT_EQ(OnBehalf("near", "near;child"), kNotAuthorized);
  near.Allow(2);
  EXPECT_TRUE(near.WaitUntilAcknowledged(2, kPatience));
  EXPECT_EQ(near.connects(), 1u);
  EXPECT_EQ(Login(*parent_, "near"), kAccepted);
}

// P11: who is removed at the hub is out at the parent with its next sync and at the child with its own.
TEST_F(NestedTest, RemovedLeafIsOutAtTheChild) {
  Begin();
  keys_["leaf"] = hub_.Key("leaf");
  Publisher leaf(Device("leaf", 1));
  Publisher sensor(Device("child/sensor", 1));
  ASSERT_TRUE(leaf.WaitUntilAcknowledged(1, kPatience));
  ASSERT_TRUE(sensor.WaitUntilAcknowledged(1, kPatience));
  hub_.Remove("leaf");
  const HttpAnswer answer = hub_.Invoke("parent/$edgeHub", "RefreshDeviceScopeIdentityCache", nullptr);
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(OnBehalf("leaf", "leaf;child"), kNotAuthorized) << "at the parent at once";
  EXPECT_TRUE(WaitFor(kPatience, [&] { return leaf.refused() == kNotAuthorized; })) << "it came back and was refused";
  EXPECT_EQ(Login(*child_, "leaf"), kNotAuthorized);
  EXPECT_EQ(sensor.connects(), 1u) << "the other one noticed nothing";
}

// P11: a gateway that is disabled at the hub speaks for nobody any more; what it keeps comes when it is back.
TEST_F(NestedTest, DisabledGatewaySpeaksForNobody) {
  Begin();
  Publisher leaf(Device("leaf", 10));
  ASSERT_TRUE(leaf.WaitUntilAcknowledged(10, kPatience));
  ASSERT_TRUE(hub_.WaitForMessages(10, kPatience));
  hub_.SetEnabled("child", false);
  hub_.Invoke("parent/$edgeHub", "RefreshDeviceScopeIdentityCache", nullptr);
  EXPECT_TRUE(child_->WaitForLink(uplink::v1::LINK_STATE_OFFLINE, kPatience));
  EXPECT_EQ(OnBehalf("leaf", "leaf;child"), kNotAuthorized);
  leaf.Allow(20);
  EXPECT_TRUE(leaf.WaitUntilAcknowledged(20, kPatience)) << "the child is on its own";
  EXPECT_EQ(hub_.messages(), 10u);
  hub_.SetEnabled("child", true);
  hub_.Invoke("parent/$edgeHub", "RefreshDeviceScopeIdentityCache", nullptr);
  ExpectAll({&leaf}, 0);
}

// A device that is new at the hub, two gateways away: found at its first attempt, through both.
TEST_F(NestedTest, NewLeafIsFoundOnDemandThroughTheParent) {
  child_->Reconfigure({{"uplink.scope_refresh_interval", "\"1h\""}});
  Begin();
  hub_.PutLeaf("late", "child");
  EXPECT_EQ(Login(*child_, "late"), kAccepted);
  Publisher late(Device("late", 10));
  EXPECT_TRUE(late.WaitUntilAcknowledged(10, kPatience));
  EXPECT_TRUE(hub_.WaitForMessages(10, kPatience));
  ExpectAll({&late}, 0);
}

// A gateway that is made below the parent after the parent's sync, and its leaf.
TEST_F(NestedTest, ChildGatewayAddedLaterIsFoundOnDemand) {
  ASSERT_TRUE(StartOnline(*parent_));
  ASSERT_TRUE(WaitFor(kPatience, [&] { return Identities(*parent_) > 0; }));
  hub_.PutEdge("second", "parent");
  hub_.PutLeaf("late", "second");
  child_ = MakeChild("second", {});
  ASSERT_TRUE(StartOnline(*child_));
  Publisher late(Device("late", 10));
  EXPECT_TRUE(late.WaitUntilAcknowledged(10, kPatience));
  EXPECT_TRUE(hub_.WaitForMessages(10, kPatience));
  ExpectAll({&late}, 0);
}

// P12: five layers of gateways and the client; and a chain is believed only if it is true.
TEST_F(NestedTest, ChainsThatAreTooLongOrUntrueAreRefused) {
  ASSERT_TRUE(StartOnline(*parent_));
  ASSERT_TRUE(WaitFor(kPatience, [&] { return Identities(*parent_) > 0; }));
  EXPECT_EQ(OnBehalf("leaf", "leaf;child"), kAccepted);
  EXPECT_EQ(OnBehalf("leaf", "leaf;g5;g4;g3;g2;g1;child"), kNotAuthorized);
  EXPECT_EQ(OnBehalf("near", "near;child"), kNotAuthorized);
  EXPECT_EQ(OnBehalf("near", "near;parent"), kNotAuthorized) << "with the child's token";
}

// P6: the parent tells a gateway of those below it, who shows its $edgeHub's token, and nobody else anything.
TEST_F(NestedTest, ScopeIsToldToTheGatewaysOwnEdgeHubOnly) {
  ASSERT_TRUE(StartOnline(*parent_));
  ASSERT_TRUE(WaitFor(kPatience, [&] { return Identities(*parent_) > 0; }));
  const json all = {{"pageSize", 10}, {"authChain", "child"}};
  const std::string list = "devicesAndModulesInTargetDeviceScope";
  const HttpsAnswer page = AskParent("child", list, all, EdgeHubToken("child"));
  EXPECT_EQ(page.status, 200) << page.body;
  EXPECT_THAT(page.body, HasSubstr(hub_.Key("leaf")));
  EXPECT_THAT(page.body, Not(HasSubstr("near")));
  const auto refused = [&](int status, const HttpsAnswer& answer) {
    EXPECT_EQ(answer.status, status) << answer.body;
    EXPECT_THAT(answer.body, Not(HasSubstr(hub_.Key("leaf"))));
  };
  refused(401, AskParent("child", list, all, ""));
  refused(401, AskParent("child", list, all, EdgeHubToken("parent")));
  refused(401, AskParent("child", list, all, SasToken(hub_.hostname(), "child", hub_.Key("child"))));
  refused(401, AskParent("child", list, all, EdgeHubToken("child"), "$edgeAgent"));
  refused(403, AskParent("child", list, {{"authChain", "near;child"}}, EdgeHubToken("child")));
  refused(400, AskParent("child", list, {{"authChain", "leaf;child"}}, EdgeHubToken("child")));
  refused(404, AskParent("child", "getDeviceAndModuleOnBehalfOf",
                         {{"targetDeviceId", "nobody"}, {"authChain", "nobody;child"}}, EdgeHubToken("child")));
}

// P5: a parent that never synced refuses nobody; it says when to come again.
TEST_F(NestedTest, ParentThatNeverSyncedTellsTheChildToComeAgain) {
  const std::string token = EdgeHubToken("child");
  hub_.Stop();
  ASSERT_TRUE(parent_->Start());
  const HttpsAnswer answer =
      AskParent("child", "devicesAndModulesInTargetDeviceScope", {{"authChain", "child"}}, token);
  EXPECT_EQ(answer.status, 503) << answer.body;
  EXPECT_EQ(answer.retry_after, "5");
}

}  // namespace
}  // namespace holdfast::systest
