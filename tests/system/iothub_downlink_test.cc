// Kind iothub: what the hub has for clients. Router's part is played by the test: it says who is there, and looks into
// the inboxes.
#include <gmock/gmock.h>

#include <algorithm>
#include <future>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/time/clock.h"
#include "tests/system/gateway_keys.h"
#include "tests/system/hub_gateway.h"
#include "tests/system/rig.h"
#include "tests/system/sas.h"
#include "tests/system/tls_device.h"

namespace holdfast::systest {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::SizeIs;

constexpr char kInbox[] = "inbox/dev1";

class IotHubDownlinkTest : public testing::Test {
 protected:
  void Begin(const std::vector<std::string>& children, std::map<std::string, std::string> config = {}) {
    config.emplace("uplink.backoff_max", "\"2s\"");
    rig_ = std::make_unique<HubGateway>(children, std::move(config));
    hub_ = &rig_->hub();
    gateway_ = &rig_->gateway();
    ASSERT_TRUE(rig_->StartOnline());
    keys_ = std::make_unique<GatewayKeys>(gateway_->run_dir());
  }
  void Present(const std::string& client) { keys_->SetPresent(client, WaitsForTheHub()); }
  bool WaitSubscribed(const std::string& client) {
    return WaitFor(kPatience, [&] {
      for (const json& c : hub_->Connections()) {
        if (c.at("device_id") == client && c.at("module_id").is_null() && !c.at("subscriptions").empty()) return true;
      }
      return false;
    });
  }
  std::set<std::string> Bodies() {
    std::set<std::string> bodies;
    for (const auto& stored : keys_->Peek(kInbox)) bodies.insert(stored.message.body());
    return bodies;
  }
  // A device at the gateway, by its own connection.
  std::unique_ptr<TlsDevice> Device(const std::string& id) {
    const Publisher::Options as = rig_->Device(id);
    mqtt::Client::Options options;
    options.host = "127.0.0.1";
    options.port = static_cast<uint16_t>(as.port);
    options.client_id = id;
    options.user_name = as.hub_hostname + "/" + id + "/?api-version=2021-04-12&DeviceClientType=test%2F1";
    options.password = SasToken(as.hub_hostname, id, as.key);
    return std::make_unique<TlsDevice>(std::move(options));
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

// A client that only waits has a connection to the hub too, over an outage, and none when it leaves.
TEST_F(IotHubDownlinkTest, ConnectionIsHeldForWhoWaits) {
  Begin({"dev1", "dev2"}, {{"uplink.upstream_idle_timeout", "\"1s\""}});
  presence::v1::ClientPresence presence = WaitsForTheHub();
  presence.set_client_type("a device/1.0");
  keys_->SetPresent("dev1", presence);
  ASSERT_TRUE(hub_->WaitForConnection("dev1", kPatience));
  EXPECT_FALSE(hub_->IsConnected("dev2"));
  EXPECT_TRUE(WaitFor(kPatience, [&] { return rig_->Status().held_clients() == 2; })) << "dev1 and the gateway itself";
  Cut();
  ASSERT_TRUE(WaitFor(kPatience, [&] { return keys_->Link() && !keys_->Link()->online(); }));
  const auto link = keys_->Link();
  EXPECT_NE(link->reason(), "");
  EXPECT_EQ(link->kind(), "iothub");
  hub_->ClearFaults();
  ASSERT_TRUE(hub_->WaitForConnection("dev1", kPatience));
  EXPECT_TRUE(WaitFor(kPatience, [&] { return keys_->Link() && keys_->Link()->online(); }));
  keys_->SetAbsent("dev1");
  EXPECT_TRUE(WaitFor(kPatience, [&] { return !hub_->IsConnected("dev1"); }));
  ASSERT_TRUE(gateway_->process("uplink").Stop());
  EXPECT_FALSE(keys_->Link()) << "nobody knows when uplink is not there";
}

// P1: a message of the hub for a device lies in its inbox, as it came, before the hub forgets it.
TEST_F(IotHubDownlinkTest, CloudToDeviceMessagesReachTheInbox) {
  Begin({"dev1"});
  Present("dev1");
  hub_->SendToDevice("dev1", "one", {{"message_id", "m1"}, {"properties", {{"a", "b c"}}}});
  hub_->SendToDevice("dev1", "two", {{"ttl_seconds", 3}});
  ASSERT_TRUE(WaitFor(kPatience, [&] { return keys_->Peek(kInbox).size() == 2; }));
  const auto stored = keys_->Peek(kInbox);
  EXPECT_EQ(stored[0].message.kind(), message::v1::Envelope::KIND_CLOUD_TO_DEVICE);
  EXPECT_EQ(stored[0].message.body(), "one");
  EXPECT_THAT(stored[0].message.property_bag(), HasSubstr("%24.mid=m1"));
  EXPECT_THAT(stored[0].message.property_bag(), HasSubstr("a=b%20c"));
  EXPECT_EQ(stored[1].message.body(), "two");
  EXPECT_TRUE(WaitFor(kPatience, [&] { return hub_->Counters().at("c2d_completed") == 2; }));
  // P7: the hub's expiry holds here too.
  EXPECT_TRUE(WaitFor(kPatience, [&] {
    const auto now = keys_->Peek(kInbox);
    return now.size() == 1 || (now.size() == 2 && now[1].expired);
  }));
}

// P1, P3: whatever dies between the message and its acknowledgement, it is not lost, and comes at most once more.
TEST_F(IotHubDownlinkTest, NothingIsLostWhenUplinkDiesBeforeTheAcknowledgement) {
  Begin({"dev1"});
  Present("dev1");
  ASSERT_TRUE(WaitSubscribed("dev1"));
  constexpr int kRounds = 3;
  for (int round = 0; round < kRounds; ++round) {
    gateway_->process("store").Signal(SIGSTOP);  // what is written now is not answered
    hub_->SendToDevice("dev1", "m" + std::to_string(round), {{"message_id", std::to_string(round)}});
    ASSERT_TRUE(WaitFor(kPatience, [&] { return hub_->Control("GET", "/c2d?device=dev1").body.size() == 1; }));
    absl::SleepFor(absl::Milliseconds(100));
    gateway_->process("uplink").Kill();
    gateway_->process("store").Signal(SIGCONT);
    ASSERT_TRUE(gateway_->Start("uplink"));
    ASSERT_TRUE(WaitFor(kPatience, [&] { return Bodies().size() == static_cast<size_t>(round) + 1; }));
    ASSERT_TRUE(WaitFor(kPatience, [&] { return hub_->Counters().at("c2d_completed") == round + 1; }));
  }
  EXPECT_LE(keys_->Peek(kInbox).size(), 2u * kRounds);
}

// P1: the connection breaks again and again; each message is stored, and those that come again are recognised.
TEST_F(IotHubDownlinkTest, NothingIsLostOverBrokenConnections) {
  Begin({"dev1"});
  Present("dev1");
  ASSERT_TRUE(WaitSubscribed("dev1"));
  constexpr int kMessages = 40;
  for (int i = 0; i < kMessages; ++i) {
    hub_->SendToDevice("dev1", "m" + std::to_string(i), {{"message_id", std::to_string(i)}});
    if (i % 10 == 9) hub_->Disconnect("dev1", true);
  }
  ASSERT_TRUE(WaitFor(kPatience, [&] { return Bodies().size() == kMessages; }));
  EXPECT_THAT(keys_->Peek(kInbox), SizeIs(kMessages)) << "no copies";
}

// P8: an inbox that takes nothing leaves the messages at the hub.
TEST_F(IotHubDownlinkTest, FullStoreLeavesTheMessagesAtTheHub) {
  Begin({"dev1"}, {{"store.queue_bytes_max", "1048576"}});
  Present("dev1");
  const std::string large(60'000, 'x');
  for (int i = 0; i < 40; ++i) hub_->SendToDevice("dev1", std::to_string(i) + large);
  ASSERT_TRUE(WaitFor(kPatience, [&] { return hub_->Counters().at("c2d_completed") >= 10; }));
  EXPECT_LT(hub_->Counters().at("c2d_completed"), 40);
  EXPECT_FALSE(hub_->Control("GET", "/c2d?device=dev1").body.empty());
}

// Who is there is what router says: from a device's SUBSCRIBE to the hub's, and back.
TEST_F(IotHubDownlinkTest, SubscriptionOfADeviceReachesTheHub) {
  Begin({"dev1"});
  auto device = Device("dev1");
  ASSERT_TRUE(device->WaitConnected());
  device->Subscribe({"$iothub/methods/POST/#"});
  ASSERT_TRUE(WaitSubscribed("dev1"));
  device.reset();
  EXPECT_TRUE(WaitFor(kPatience, [&] {
    const json connections = hub_->Connections();
    return std::ranges::none_of(
        connections, [](const json& c) { return c.at("device_id") == "dev1" && !c.at("subscriptions").empty(); });
  }));
}

// The whole way of a method: service, hub, uplink, router, device, and back.
TEST_F(IotHubDownlinkTest, MethodFromTheHubReachesTheDevice) {
  Begin({"dev1"});
  EXPECT_EQ(hub_->Invoke("dev1", "reboot", nullptr).status, 404) << "it is not there";
  auto device = Device("dev1");
  ASSERT_TRUE(device->WaitConnected());
  device->Subscribe({"$iothub/methods/POST/#"});
  ASSERT_TRUE(WaitSubscribed("dev1"));
  auto answer = std::async(std::launch::async, [&] { return hub_->Invoke("dev1", "reboot", {{"delay", 3}}); });
  const auto call = device->WaitForMessage(0, absl::Seconds(10));
  ASSERT_TRUE(call) << "the call did not come";
  EXPECT_EQ(json::parse(call->payload), json({{"delay", 3}}));
  device->Publish("$iothub/methods/res/217/" + call->topic.substr(call->topic.find('?')), R"({"ok":true})");
  const HttpAnswer result = answer.get();
  EXPECT_EQ(result.status, 200);
  EXPECT_EQ(result.body.at("status"), 217);
  EXPECT_EQ(result.body.at("payload"), json({{"ok", true}}));
}

// P11.
TEST_F(IotHubDownlinkTest, NobodyIsHeldAtAHubThatDoesNotKnowHim) {
  Begin({"dev1"});
  Present("dev1");
  ASSERT_TRUE(WaitSubscribed("dev1"));
  hub_->Remove("dev1");
  ASSERT_TRUE(WaitFor(kPatience, [&] {
    const auto status = rig_->Status();
    return status.troubles_size() == 1 && status.troubles(0).reason().find("does not know") != std::string::npos;
  }));
  const auto connects = hub_->Counters().at("connacks").at("5").get<int>();
  absl::SleepFor(absl::Seconds(2));
  EXPECT_LE(hub_->Counters().at("connacks").at("5").get<int>(), connects + 1) << "it does not try on and on";
}

}  // namespace
}  // namespace holdfast::systest
