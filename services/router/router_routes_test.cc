// Messages on their way by the routes.
#include <fmt/format.h>

#include "services/router/router_fixture.h"

namespace holdfast::router {
namespace {

using message::v1::Envelope;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kFilterInputs[] = "inputs/gw/filter";
constexpr char kToFilter[] = "FROM /messages/modules/sensor/* INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")";

std::string Publish(std::string_view client, uint16_t packet_id, std::string_view body, std::string_view bag = "",
                    bool dup = false) {
  const size_t slash = client.find('/');
  const std::string topic = slash == std::string_view::npos
                                ? fmt::format("devices/{}/messages/events/{}", client, bag)
                                : fmt::format("devices/{}/modules/{}/messages/events/{}", client.substr(0, slash),
                                              client.substr(slash + 1), bag);
  std::string packet;
  EXPECT_EQ(
      mqtt::AppendPublish({.topic = topic, .payload = body, .packet_id = packet_id, .qos = 1, .dup = dup}, &packet),
      mqtt::Error::kOk);
  return packet;
}

class RouterRoutesTest : public RouterTest {
 protected:
  RouterRoutesTest() { options_.gateway_device_id = "gw"; }

  void SetRoutes(std::vector<std::string> texts) {
    std::vector<routes::RouteDefinition> definitions;
    for (std::string& text : texts) {
      definitions.push_back({.name = fmt::format("r{}", definitions.size()), .text = std::move(text)});
    }
    const auto table = routes::RouteTable::Compile(std::move(definitions));
    ASSERT_TRUE(table.ok()) << table.status();
    ASSERT_TRUE(router_->SetRoutes(*table).ok());
  }
  FakeClientQueues& queues() { return store_.clients(); }
  double Dropped(const std::string& reason) {
    return metrics_->Counter("holdfast_router_messages_dropped_total", "", {{"reason", reason}}).Value();
  }
};

TEST_F(RouterRoutesTest, ModuleToModuleAndHub) {
  Start();
  SetRoutes({kToFilter, "FROM /messages/* INTO $upstream"});
  Peer sensor = Connected("gw/sensor");
  sensor.Send(Publish("gw/sensor", 1, "hot", "%24.on=temperature&unit=C"));
  EXPECT_EQ(sensor.Read(), Puback(1));
  ASSERT_EQ(queues().size(kFilterInputs), 1u);
  const Envelope e = queues().Messages(kFilterInputs)[0];
  EXPECT_EQ(e.kind(), Envelope::KIND_TELEMETRY);
  EXPECT_EQ(e.device_id(), "gw");
  EXPECT_EQ(e.module_id(), "sensor");
  EXPECT_EQ(e.input_name(), "in");
  EXPECT_EQ(e.property_bag(), "%24.on=temperature&unit=C");
  EXPECT_EQ(e.body(), "hot");
  ASSERT_EQ(store_.Messages().size(), 1u);
  EXPECT_EQ(store_.Messages()[0].input_name(), "");
  // P1: the copy in the queue must not stand for the other one, which may be missing after a crash.
  EXPECT_EQ(store_.Messages()[0].packet_id(), 0u);
  // P12: what is too much for a module that is away is its own loss, and holds up nobody.
  EXPECT_TRUE(Eventually([&] { return queues().Settings().contains(kFilterInputs); }));
  const auto settings = queues().Settings()[kFilterInputs];
  EXPECT_EQ(settings.full_policy(), store::v1::FULL_POLICY_DROP_OLDEST);
  EXPECT_EQ(settings.bytes_max(), 64u << 20);
}

// P1: each copy is on disk before the PUBACK.
TEST_F(RouterRoutesTest, PubackWaitsForAllCopies) {
  Start();
  SetRoutes({kToFilter, "FROM /messages/* INTO $upstream"});
  Peer sensor = Connected("gw/sensor");
  store_.Hold(true);
  sensor.Send(Publish("gw/sensor", 1, "hot"));
  ASSERT_TRUE(Eventually([&] { return store_.held() == 1; }));
  EXPECT_TRUE(sensor.Silent(absl::Milliseconds(100)));
  store_.Hold(false);
  EXPECT_EQ(sensor.Read(), Puback(1));
  EXPECT_EQ(queues().size(kFilterInputs), 1u);
  EXPECT_EQ(store_.Messages().size(), 1u);
}

TEST_F(RouterRoutesTest, ModuleToTheInboxOfADevice) {
  Start();
  SetRoutes({"FROM /messages/modules/sensor WHERE to = 'leaf' INTO BrokeredEndpoint(\"/devices/leaf/inbox\")"});
  Peer leaf = Connected("leaf");
  std::string subscribe;
  ASSERT_EQ(mqtt::AppendSubscribe(9, {{.filter = "devices/leaf/messages/devicebound/#", .qos = 1}}, &subscribe),
            mqtt::Error::kOk);
  leaf.Send(subscribe);
  leaf.Read();
  Peer sensor = Connected("gw/sensor");
  sensor.Send(Publish("gw/sensor", 1, "open the valve", "to=leaf"));
  EXPECT_EQ(sensor.Read(), Puback(1));
  EXPECT_THAT(leaf.Read(), HasSubstr("devices/leaf/messages/devicebound/to=leaf&%24.cdid=gw&%24.cmid=sensor&"
                                     "%24.to=%2Fdevices%2Fleaf%2Fmessages%2FdeviceBound&hf-hops=1"));
  EXPECT_EQ(queues().Messages("inbox/leaf")[0].kind(), Envelope::KIND_CLOUD_TO_DEVICE);
}

TEST_F(RouterRoutesTest, WhatMatchesNothingIsAcknowledgedAndCounted) {
  Start();
  SetRoutes({"FROM /messages/* WHERE level = 'high' INTO $upstream"});
  Peer leaf = Connected("leaf");
  leaf.Send(Publish("leaf", 1, "a", "level=low") + Publish("leaf", 2, "b") + Publish("leaf", 3, "c", "level=high"));
  for (uint16_t id : {1, 2, 3}) EXPECT_EQ(leaf.Read(), Puback(id));
  EXPECT_THAT(store_.Bodies(), ElementsAre("c"));
  EXPECT_EQ(Dropped("condition_false"), 1);
  EXPECT_EQ(Dropped("condition_undefined"), 1);
  // Alone, too: no commit of another one carries its PUBACK.
  leaf.Send(Publish("leaf", 4, "d"));
  EXPECT_EQ(leaf.Read(), Puback(4));
}

// What is on its way goes where it was sent; nobody is disconnected.
TEST_F(RouterRoutesTest, RoutesChangeWhileMessagesAreOnTheirWay) {
  Start();
  Peer sensor = Connected("gw/sensor");
  store_.HoldBody("old");
  sensor.Send(Publish("gw/sensor", 1, "old"));
  ASSERT_TRUE(Eventually([&] { return store_.held() == 1; }));
  SetRoutes({kToFilter});
  ASSERT_TRUE(Eventually([&] { return queues().Settings().contains(kFilterInputs); }));
  sensor.Send(Publish("gw/sensor", 2, "new"));
  store_.HoldBody("");
  EXPECT_EQ(sensor.Read(), Puback(1));
  EXPECT_EQ(sensor.Read(), Puback(2));
  EXPECT_THAT(store_.Bodies(), ElementsAre("old"));
  EXPECT_EQ(queues().size(kFilterInputs), 1u);
  SetRoutes({"FROM /messages/* INTO $upstream"});
  sensor.Send(Publish("gw/sensor", 3, "newer"));
  EXPECT_EQ(sensor.Read(), Puback(3));
  EXPECT_THAT(store_.Bodies(), ElementsAre("old", "newer"));
}

TEST_F(RouterRoutesTest, RoutesThatCantBeServedAreRefused) {
  options_.gateway_device_id = "";
  Start();
  const auto table = routes::RouteTable::Compile({{.name = "r", .text = kToFilter}});
  EXPECT_TRUE(absl::IsFailedPrecondition(router_->SetRoutes(*table)));
  EXPECT_TRUE(router_->SetRoutes(*table, "gw").ok());
}

// A circle ends; the hub gets the message all the same, and nothing of how it went round.
TEST_F(RouterRoutesTest, HopsEndACircle) {
  options_.hops_max = 3;
  Start();
  SetRoutes({kToFilter, "FROM /messages/* INTO $upstream"});
  Peer sensor = Connected("gw/sensor");
  sensor.Send(Publish("gw/sensor", 1, "round", "hf-hops=2&a=b") + Publish("gw/sensor", 2, "stop", "a=b&hf-hops=3"));
  EXPECT_EQ(sensor.Read(), Puback(1));
  EXPECT_EQ(sensor.Read(), Puback(2));
  ASSERT_EQ(queues().size(kFilterInputs), 1u);
  EXPECT_EQ(queues().Messages(kFilterInputs)[0].hops(), 2u);
  EXPECT_EQ(queues().Messages(kFilterInputs)[0].property_bag(), "a=b");
  ASSERT_THAT(store_.Bodies(), ElementsAre("round", "stop"));
  for (const Envelope& e : store_.Messages()) {
    EXPECT_EQ(e.property_bag(), "a=b");
    EXPECT_EQ(e.hops(), 0u);
  }
  EXPECT_EQ(Dropped("hops"), 1);
}

// P3: the copy that is recognised is the one in the queue, without hf-hops.
TEST_F(RouterRoutesTest, ResentOneWithHopsIsRecognisedAfterARestart) {
  Start();
  {
    Peer sensor = Connected("gw/sensor");
    sensor.Send(Publish("gw/sensor", 1, "x", "hf-hops=1&a=b"));
    EXPECT_EQ(sensor.Read(), Puback(1));
  }
  StartRouter();
  Peer sensor = Connected("gw/sensor");
  sensor.Send(Publish("gw/sensor", 1, "x", "hf-hops=1&a=b", /*dup=*/true));
  EXPECT_EQ(sensor.Read(), Puback(1));
  EXPECT_THAT(store_.Bodies(), ElementsAre("x"));
}

TEST_F(RouterRoutesTest, WillFollowsTheRoutesToo) {
  Start();
  SetRoutes({"FROM /messages/* INTO BrokeredEndpoint(\"/modules/filter/inputs/wills\")"});
  {
    Peer peer = NewPeer();
    mqtt::Connect connect = DeviceConnect("dev1");
    connect.has_will = true;
    connect.will = {.topic = "devices/dev1/messages/events/", .message = "gone", .qos = 1};
    ASSERT_THAT(peer.Connect(connect), ::testing::Optional(CodeIs(kAccepted)));
  }
  EXPECT_TRUE(Eventually([&] { return queues().size(kFilterInputs) == 1; }));
  EXPECT_EQ(queues().Messages(kFilterInputs)[0].kind(), Envelope::KIND_WILL);
}

// P11: nothing is left of an identity that is gone.
TEST_F(RouterRoutesTest, QueuesOfARemovedIdentityAreDeleted) {
  Start();
  for (const char* queue : {"inbox/dev1", "inputs/dev1/a", "inputs/dev1/b", "inbox/dev10", "inputs/dev10/a"}) {
    queues().Put(queue, Envelope());
  }
  Peer peer = Connected("dev1");
  std::string subscribe;
  ASSERT_EQ(mqtt::AppendSubscribe(9, {{.filter = "devices/dev1/messages/devicebound/#", .qos = 1}}, &subscribe),
            mqtt::Error::kOk);
  peer.Send(subscribe);
  peer.Read();
  auth::v1::WatchIdentitiesResponse removed;
  removed.add_removed()->set_device_id("dev1");
  identities_.Push({});
  identities_.Push(removed);
  EXPECT_TRUE(peer.Closed());
  EXPECT_TRUE(Eventually([&] {
    return queues().Names() == std::vector<std::string>{"inbox/dev10", "inputs/dev10/a"};
  }));
}

}  // namespace
}  // namespace holdfast::router
