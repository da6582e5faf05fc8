// What passes two gateways, and five: messages, method calls, twins.
#include "tests/system/nested.h"

#include <future>

namespace holdfast::systest {
namespace {

using nlohmann::json;
using testing::StartsWith;

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

  way_->SetSilent(true);
  publish(900);
  ASSERT_TRUE(child_->WaitForLink(uplink::v1::LINK_STATE_OFFLINE, kPatience));

  parent_->KillAll();
  child_->KillAll();
  ASSERT_TRUE(child_->Start());
  ASSERT_TRUE(parent_->Start());
  publish(1200);
  way_->SetSilent(false);
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

// P1, P2, P3, P4, P6: five layers of gateways below the hub, the client at the lowest. The hub is cut off and a gateway
// in the middle killed; what comes from the hub finds its way down.
TEST_F(NestedTest, FiveLayers) {
  std::vector<Layer> layers;
  hub_.PutEdge("g1");
  layers.push_back(MakeBelowTheHub("g1"));
  for (int i = 2; i <= 5; ++i) {
    const Layer& above = layers.back();
    hub_.PutEdge(fmt::format("g{}", i), fmt::format("g{}", i - 1));
    layers.push_back(MakeBelow(above, above.mqtts_port, fmt::format("g{}", i), {}));
  }
  hub_.PutLeaf("deep", "g5");
  hub_.PutLeaf("listener", "g5");
  for (const Layer& layer : layers) {
    ASSERT_TRUE(StartOnline(*layer));
    ASSERT_TRUE(WaitFor(kPatience, [&] { return Identities(*layer) > 0; }));
  }
  Publisher::Options options = Device("deep", 100);
  options.port = layers.back()->mqtt_port();
  Publisher deep(options);
  ASSERT_TRUE(deep.WaitUntilAcknowledged(100, kPatience));
  ASSERT_TRUE(hub_.WaitForMessages(100, kPatience));

  hub_.SetFault({{"kind", "refuse"}});
  ASSERT_TRUE(layers[0]->WaitForLink(uplink::v1::LINK_STATE_OFFLINE, kPatience));
  layers[2]->KillAll();
  deep.Allow(200);
  ASSERT_TRUE(deep.WaitUntilAcknowledged(200, kPatience));
  ASSERT_TRUE(layers[2]->Start());
  hub_.ClearFaults();
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    ASSERT_TRUE((*layer)->WaitUntilDrained(kPatience * 2));
  }
  const DeliveryReport report = Compare({{"deep", 200}}, Arrivals("g1"));
  EXPECT_EQ(report.lost, 0u) << report.Text();
  EXPECT_EQ(report.out_of_order, 0u) << report.Text();
  EXPECT_LE(report.duplicates, 200u) << report.Text();

  const auto device = Client("listener", layers.back()->mqtt_port());
  ASSERT_TRUE(device->WaitConnected());
  device->Subscribe({"devices/listener/messages/devicebound/#"});
  hub_.SendToDevice("listener", "down five layers");
  const auto message = WaitForTopic(*device, "devices/listener/messages/devicebound/");
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->payload, "down five layers");
}

}  // namespace
}  // namespace holdfast::systest
