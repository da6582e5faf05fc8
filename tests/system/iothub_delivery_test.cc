// Kind iothub: what several identities send arrives, each over a connection of its own, whatever happens on the way.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "lib/pki/certificate.h"
#include "lib/pki/private_key.h"
#include "tests/system/hub_gateway.h"
#include "tests/system/rig.h"

namespace holdfast::systest {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// Publishers for some children, and what was acknowledged to them.
class Children {
 public:
  Children(const HubGateway& rig, const std::vector<std::string>& children, uint64_t count) {
    for (const std::string& child : children) {
      publishers_.push_back(std::make_unique<Publisher>(rig.Device(child, count)));
    }
  }
  bool WaitUntilAcknowledged(uint64_t each) {
    bool all = true;
    for (auto& p : publishers_) all = p->WaitUntilAcknowledged(each, kPatience) && all;
    return all;
  }
  bool Finish() {
    bool all = true;
    for (auto& p : publishers_) all = p->Finish(kPatience) && all;
    return all;
  }
  void Allow(uint64_t count) {
    for (auto& p : publishers_) p->Allow(count);
  }
  std::map<std::string, uint64_t> acknowledged() const {
    std::map<std::string, uint64_t> result;
    for (const auto& p : publishers_) result[p->device()] = p->acknowledged();
    return result;
  }

 private:
  std::vector<std::unique_ptr<Publisher>> publishers_;
};

class IotHubDeliveryTest : public testing::Test {
 protected:
  // Online, with everybody known.
  void Begin(const std::vector<std::string>& children, const std::map<std::string, std::string>& config = {}) {
    rig_ = std::make_unique<HubGateway>(children, config);
    gateway_ = &rig_->gateway();
    hub_ = &rig_->hub();
    ASSERT_TRUE(rig_->StartOnline());
  }
  void Fault(const json& fault) { hub_->SetFault(fault); }
  void ClearFaults() { hub_->ClearFaults(); }
  // The hub's MQTT and REST, for the gateway; what it holds stays.
  void Cut() {
    Fault({{"kind", "refuse"}});
    ASSERT_TRUE(gateway_->WaitForLink(uplink::v1::LINK_STATE_OFFLINE, kPatience));
  }
  void ExpectAll(const Children& children, uint64_t duplicates_max) {
    ASSERT_TRUE(gateway_->WaitUntilDrained(kPatience * 2));
    const DeliveryReport report = Compare(children.acknowledged(), rig_->Arrivals());
    EXPECT_GT(report.acknowledged, 0u) << report.Text();
    EXPECT_EQ(report.lost, 0u) << report.Text();
    EXPECT_EQ(report.out_of_order, 0u) << report.Text();
    EXPECT_LE(report.duplicates, duplicates_max) << report.Text();
    EXPECT_EQ(report.wrong_topic, 0u) << report.Text();
  }
  uplink::v1::GetUplinkStatusResponse Status() { return rig_->Status(); }

  std::unique_ptr<HubGateway> rig_;
  Hubsim* hub_ = nullptr;
  Gateway* gateway_ = nullptr;
};

constexpr uint64_t kWindow = 4096;

// P1, P2, P3: devices and modules, over an outage, each on a connection of its own on which the gateway speaks for it.
TEST_F(IotHubDeliveryTest, DevicesAndModulesArriveInOrderOverAnOutage) {
  const std::vector<std::string> names = {"dev1", "dev1/mod1", "dev1/mod2", "dev2", "dev3"};
  Begin(names);
  Children children(*rig_, names, 300);
  ASSERT_TRUE(children.WaitUntilAcknowledged(300));
  ASSERT_TRUE(gateway_->WaitUntilDrained(kPatience));
  for (const std::string& name : names) EXPECT_TRUE(hub_->IsConnected(name)) << name;
  EXPECT_TRUE(hub_->IsConnected("edge/$edgeHub"));
  EXPECT_TRUE(WaitFor(kPatience, [&] { return Status().connections() == names.size() + 1; }));

  Cut();
  children.Allow(1500);
  ASSERT_TRUE(children.WaitUntilAcknowledged(1500)) << "offline";
  ClearFaults();
  ExpectAll(children, kWindow);
  EXPECT_EQ(rig_->ReceivedOf("dev1/mod2") >= 1500u, true);
}

// P1, P2, P3.
TEST_F(IotHubDeliveryTest, UplinkKilledInTheMiddleOfADrainLosesNothing) {
  const auto names = DeviceNames(6);
  Begin(names, {{"uplink.inflight_count_max", "500"}});
  Cut();
  Children children(*rig_, names, 2000);
  ASSERT_TRUE(children.WaitUntilAcknowledged(2000));
  ClearFaults();
  Fault({{"kind", "delay_acks"}, {"ms", 20}});
  constexpr int kCrashes = 3;
  for (int i = 1; i <= kCrashes; ++i) {
    const uint64_t target = static_cast<uint64_t>(i) * 2000;
    ASSERT_TRUE(WaitFor(kPatience, [&] { return hub_->messages() >= target; }));
    ASSERT_TRUE(gateway_->Crash("uplink"));
  }
  ClearFaults();
  ExpectAll(children, kCrashes * 500);
}

// The hub closes a connection when its token ends: with new ones in time nobody notices.
TEST_F(IotHubDeliveryTest, RenewedTokensLoseNothing) {
  const auto names = DeviceNames(4);
  Begin(names, {{"uplink.token_lifetime", "\"1m\""}});
  std::vector<std::unique_ptr<Publisher>> publishers;
  for (const std::string& name : names) {
    Publisher::Options options = rig_->Device(name);
    options.rate = 50;
    publishers.push_back(std::make_unique<Publisher>(options));
  }
  const auto connects = [&] { return hub_->Counters().at("connects").get<int>(); };
  ASSERT_TRUE(WaitFor(kPatience, [&] { return Status().connections() == 5; }));
  const int before = connects();
  // Each of the five has a token of a minute, and makes a new connection before it ends.
  ASSERT_TRUE(WaitFor(absl::Seconds(90), [&] { return connects() >= before + 5; }));
  for (auto& p : publishers) EXPECT_TRUE(p->Finish(kPatience));
  ASSERT_TRUE(gateway_->WaitUntilDrained(kPatience));
  std::map<std::string, uint64_t> acknowledged;
  for (auto& p : publishers) acknowledged[p->device()] = p->acknowledged();
  const DeliveryReport report = Compare(acknowledged, rig_->Arrivals());
  EXPECT_EQ(report.lost, 0u) << report.Text();
  EXPECT_EQ(report.out_of_order, 0u) << report.Text();
  EXPECT_EQ(report.duplicates, 0u) << "in flight is acknowledged before a connection ends: " << report.Text();
}

// P12: everybody has a turn.
TEST_F(IotHubDeliveryTest, FewerConnectionsThanIdentities) {
  const auto names = DeviceNames(20);
  Begin(names, {{"uplink.upstream_connections_max", "3"}});
  Children children(*rig_, names, 50);
  size_t most = 0;
  ASSERT_TRUE(children.WaitUntilAcknowledged(50));
  ASSERT_TRUE(WaitFor(kPatience * 2, [&] {
    most = std::max(most, hub_->Connections().size());
    return hub_->messages() >= 20 * 50;
  }));
  EXPECT_LE(most, 3u);
  ExpectAll(children, 0);
}

// A refused child: the others get on, the status names it; when the hub takes it back, its messages come, in order.
TEST_F(IotHubDeliveryTest, RefusedChildDoesNotStopTheOthers) {
  const auto names = DeviceNames(4);
  Begin(names);
  Fault({{"kind", "connack"}, {"code", 5}, {"device", "dev2"}});
  Children children(*rig_, names, 200);
  ASSERT_TRUE(children.WaitUntilAcknowledged(200));
  for (const char* name : {"dev1", "dev3", "dev4"}) {
    EXPECT_TRUE(WaitFor(kPatience, [&] { return rig_->ReceivedOf(name) == 200; })) << name;
  }
  EXPECT_EQ(rig_->ReceivedOf("dev2"), 0u);
  ASSERT_TRUE(WaitFor(kPatience, [&] { return Status().troubles_size() == 1; }));
  const auto status = Status();
  EXPECT_EQ(status.troubles(0).device_id(), "dev2");
  EXPECT_THAT(status.troubles(0).reason(), HasSubstr("CONNACK 5"));
  EXPECT_TRUE(status.troubles(0).holds_line());
  EXPECT_EQ(status.state(), uplink::v1::LINK_STATE_ONLINE);
  ClearFaults();
  ExpectAll(children, 0);
  EXPECT_TRUE(WaitFor(kPatience, [&] { return Status().troubles_size() == 0; }));
}

// A child that the hub knows no more: what it sent is kept aside, and the line moves on.
TEST_F(IotHubDeliveryTest, MessagesOfARemovedChildAreSetAside) {
  Begin({"dev1", "dev2"});
  Cut();
  Children children(*rig_, {"dev1", "dev2"}, 100);
  ASSERT_TRUE(children.WaitUntilAcknowledged(100));
  hub_->Remove("dev1");
  ClearFaults();
  EXPECT_TRUE(WaitFor(kPatience, [&] { return rig_->ReceivedOf("dev2") == 100; }));
  const auto queue = [&](const std::string& name) {
    return WaitFor(kPatience, [&] { return gateway_->QueueRecords(name) == 100; });
  };
  EXPECT_TRUE(queue("upstream/dead"));
  EXPECT_TRUE(WaitFor(kPatience, [&] { return Status().lag_messages() == 0; }));
  EXPECT_EQ(rig_->ReceivedOf("dev1"), 0u);
}

// A message on which the hub always closes the connection: it is set aside, and the line moves on.
TEST_F(IotHubDeliveryTest, MessageThatTheHubDoesNotTakeIsSetAside) {
  Begin({"dev1", "dev2"}, {{"uplink.message_refusals_max", "3"}, {"uplink.backoff_max", "\"1s\""}});
  Fault({{"kind", "reset"}, {"after", 1}, {"unacked", 1}, {"device", "dev1"}, {"times", 3}});
  Children children(*rig_, {"dev1", "dev2"}, 20);
  ASSERT_TRUE(children.WaitUntilAcknowledged(20));
  EXPECT_TRUE(WaitFor(kPatience, [&] { return gateway_->QueueRecords("upstream/dead") == 1; }));
  EXPECT_TRUE(WaitFor(kPatience, [&] { return Status().lag_messages() == 0; }));
  const auto arrivals = rig_->Arrivals();
  EXPECT_EQ(std::ranges::count(arrivals, uint64_t{19}, &Arrival::sequence), 2);
  EXPECT_EQ(rig_->ReceivedOf("dev2"), 20u);
}

// CONNACK 3: busy. Nothing is lost, and it gets on by itself.
TEST_F(IotHubDeliveryTest, BusyHubIsAskedAgain) {
  Begin({"dev1", "dev2"}, {{"uplink.backoff_max", "\"1s\""}});
  Fault({{"kind", "connack"}, {"code", 3}, {"device", "dev1"}, {"times", 4}});
  Children children(*rig_, {"dev1", "dev2"}, 100);
  ASSERT_TRUE(children.WaitUntilAcknowledged(100));
  ExpectAll(children, 0);
}

// P12: when the window is full everybody waits for the one that is refused, which the status names; then all goes on.
TEST_F(IotHubDeliveryTest, FullWindowWaitsForTheOneThatHoldsTheLine) {
  Begin({"dev1", "dev2"}, {{"uplink.inflight_count_max", "50"}, {"uplink.stall_timeout", "\"2s\""}});
  Fault({{"kind", "connack"}, {"code", 5}, {"device", "dev1"}});
  Children first(*rig_, {"dev1"}, 1);
  ASSERT_TRUE(first.WaitUntilAcknowledged(1));
  Children second(*rig_, {"dev2"}, 200);
  ASSERT_TRUE(second.WaitUntilAcknowledged(200));
  EXPECT_TRUE(WaitFor(kPatience, [&] { return Status().stalled(); }));
  const auto status = Status();
  ASSERT_EQ(status.troubles_size(), 1);
  EXPECT_EQ(status.troubles(0).device_id(), "dev1");
  EXPECT_TRUE(status.troubles(0).holds_line());
  EXPECT_EQ(rig_->ReceivedOf("dev2"), 49u) << "the window holds 50, one is dev1's";
  EXPECT_FALSE(gateway_->Serving("uplink", "holdfast.uplink.v1.UplinkStatus"));
  ClearFaults();
  ASSERT_TRUE(gateway_->WaitUntilDrained(kPatience * 2));
  EXPECT_EQ(rig_->ReceivedOf("dev2"), 200u);
  EXPECT_TRUE(WaitFor(kPatience, [&] { return gateway_->Serving("uplink", "holdfast.uplink.v1.UplinkStatus"); }));
}

// X.509: the gateway's certificate instead of tokens, for itself and for its children.
TEST(IotHubCertificateTest, GatewayLogsInByCertificate) {
  Hubsim hub;
  const TempDir dir;
  const auto ca = pki::Certificate::FromPem(ReadFile(hub.device_ca_file()));
  const auto ca_key = pki::PrivateKey::FromPem(ReadFile(hub.device_ca_key_file()));
  ASSERT_TRUE(ca.ok()) << ca.status();
  ASSERT_TRUE(ca_key.ok()) << ca_key.status();
  const auto key = pki::PrivateKey::Generate();
  const auto certificate = pki::MakeServerCertificate(*key, {"edge"}, *ca, *ca_key, absl::Now());
  ASSERT_TRUE(certificate.ok()) << certificate.status();
  WriteFile(dir / "edge.pem", certificate->ToPem());
  WriteFile(dir / "edge.key", key->ToPem());
  hub.PutEdge("edge");
  hub.PutModule(
      "edge", "$edgeHub",
      {{"authentication",
        {{"type", "selfSigned"}, {"x509Thumbprint", {{"primaryThumbprint", certificate->Summary().sha256}}}}}});
  hub.PutLeaf("dev1", "edge");
  const auto quoted = [](const std::string& text) { return "\"" + text + "\""; };
  Gateway gateway({.devices = {"dev1"},
                   .upstream = "iothub://localhost:" + std::to_string(hub.mqtts_port()),
                   .config = {{"uplink.ca_file", quoted(hub.ca_file())},
                              {"uplink.hub_rest_url", quoted(hub.rest_url())},
                              {"uplink.client_cert_file", quoted(dir / "edge.pem")},
                              {"uplink.client_key_file", quoted(dir / "edge.key")},
                              {"uplink.gateway_device_id", quoted("edge")}}});
  ASSERT_TRUE(gateway.Start());
  Publisher publisher(gateway.Device("dev1", 20));
  ASSERT_TRUE(publisher.WaitUntilAcknowledged(20, kPatience));
  ASSERT_TRUE(gateway.WaitUntilDrained(kPatience));
  const auto events = hub.Events();
  ASSERT_EQ(events.size(), 20u);
  EXPECT_EQ(events[0].device_id, "dev1");
  EXPECT_EQ(events[0].actor, "edge");
}

// Slow acknowledgements and disconnects of a throttling hub slow it down and lose nothing.
TEST_F(IotHubDeliveryTest, ThrottlingHubLosesNothing) {
  const auto names = DeviceNames(3);
  Begin(names);
  Fault({{"kind", "throttle"}, {"rate", 300}, {"disconnect_after_ms", 3000}});
  Children children(*rig_, names, 1000);
  ASSERT_TRUE(children.WaitUntilAcknowledged(1000));
  ExpectAll(children, 3 * 256 * 4);
}

// Resets in mid-window; and the hub forgets acknowledgements on connections that live on.
TEST_F(IotHubDeliveryTest, ConnectionsThatBreakInTheMiddleLoseNothing) {
  const auto names = DeviceNames(3);
  Begin(names, {{"uplink.ack_timeout", "\"2s\""}, {"uplink.stall_timeout", "\"4s\""}});
  Fault({{"kind", "reset"}, {"after", 150}, {"unacked", 40}, {"times", 6}});
  Children children(*rig_, names, 1000);
  ASSERT_TRUE(children.WaitUntilAcknowledged(1000));
  ExpectAll(children, 6 * 256);
}

}  // namespace
}  // namespace holdfast::systest
