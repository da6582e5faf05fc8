// hubsim itself, with Holdfast's own MQTT client: who gets in, on behalf of whom, and every fault on command. What
// software not written here says of it is in tests/interop.
#include "tests/system/hubsim.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/system/https_client.h"
#include "tests/system/sas.h"
#include "tests/system/tls_device.h"

namespace holdfast::systest {
namespace {

using mqtt::ConnackCode;
using nlohmann::json;
using ::testing::ElementsAre;

constexpr absl::Duration kPatience = absl::Seconds(25);
constexpr absl::Duration kShort = absl::Milliseconds(300);

std::string EventsTopic(const std::string& device) {
  return fmt::format("devices/{}/messages/events/", device);
}

std::optional<ConnackCode> Refusal(mqtt::Client::Options options) {
  TlsDevice device(std::move(options));
  EXPECT_FALSE(device.WaitConnected());
  return device.refused();
}

class HubsimTest : public ::testing::Test {
 protected:
  HubsimTest() : HubsimTest(Hubsim::Options()) {}
  explicit HubsimTest(Hubsim::Options options) : hub_(std::move(options)) {
    hub_.PutEdge("edge");
    hub_.PutModule("edge", "m1");
    hub_.PutLeaf("leaf", "edge");
    hub_.PutDevice("dev");
  }

  // A connected device, by its own key or through a chain.
  std::unique_ptr<TlsDevice> Connect(const std::string& id, const std::string& chain = "") {
    auto device = std::make_unique<TlsDevice>(HubLogin(hub_, id, chain));
    EXPECT_TRUE(device->WaitConnected()) << id << " " << chain;
    return device;
  }

  Hubsim hub_;
};

TEST_F(HubsimTest, TelemetryIsAcknowledgedInOrder) {
  const auto device = Connect("dev");
  device->PublishMany(EventsTopic("dev") + "a=b%20c&%24.mid=7&flag", "dev", 1000);
  ASSERT_TRUE(device->WaitForAcks(1000, kPatience));
  EXPECT_TRUE(device->acks_in_order());
  const std::vector<HubEvent> events = hub_.Events();
  ASSERT_EQ(events.size(), 1000u);
  for (size_t n = 0; n < events.size(); ++n) {
    ASSERT_EQ(events[n].sequence, n);
    ASSERT_EQ(events[n].body, MakePayload("dev", n, 64));
  }
  EXPECT_EQ(events[0].properties, (std::map<std::string, std::string>{{"a", "b c"}, {"$.mid", "7"}, {"flag", ""}}));
  EXPECT_EQ(hub_.Events(999).size(), 1u);
}

TEST_F(HubsimTest, SpeaksForItsChildrenOnly) {
  hub_.PutEdge("child", "edge");
  hub_.PutLeaf("grandchild", "child");
  hub_.PutEdge("other");
  for (const auto& [id, chain] : std::map<std::string, std::string>{{"leaf", "leaf;edge"},
                                                                    {"edge/m1", "edge/m1;edge"},
                                                                    {"edge/$edgeHub", "edge/$edgeHub;edge"},
                                                                    {"child/$edgeHub", "child/$edgeHub;child;edge"},
                                                                    {"grandchild", "grandchild;child;edge"}}) {
    const auto device = Connect(id, chain);
    EXPECT_EQ(hub_.Connections().size(), 1u);
    EXPECT_EQ(hub_.Connections()[0].at("actor"), "edge") << id;
  }
  EXPECT_EQ(Refusal(HubLogin(hub_, "dev", "dev;edge")), ConnackCode::kNotAuthorized) << "no child";
  EXPECT_EQ(Refusal(HubLogin(hub_, "leaf", "leaf;other")), ConnackCode::kNotAuthorized) << "another's child";
  EXPECT_EQ(Refusal(HubLogin(hub_, "grandchild", "grandchild;edge")), ConnackCode::kNotAuthorized)
      << "a link is missing";
  EXPECT_EQ(Refusal(HubLogin(hub_, "leaf", "dev;edge")), ConnackCode::kNotAuthorized) << "begins with another";
  hub_.SetEnabled("child", false);
  EXPECT_EQ(Refusal(HubLogin(hub_, "grandchild", "grandchild;child;edge")), ConnackCode::kNotAuthorized)
      << "a link is disabled";
  auto forged = HubLogin(hub_, "leaf", "leaf;edge");
  forged.password = SasToken(hub_.hostname(), "edge", hub_.Key("edge"), 3600);
  EXPECT_EQ(Refusal(forged), ConnackCode::kNotAuthorized) << "the device's own key does not act for children";
}

TEST_F(HubsimTest, RefusesWrongCredentials) {
  auto login = HubLogin(hub_, "dev");
  login.password = SasToken(hub_.hostname(), "dev", NewKey());
  EXPECT_EQ(Refusal(login), ConnackCode::kNotAuthorized);
  login.password = SasToken(hub_.hostname(), "leaf", hub_.Key("dev"));
  EXPECT_EQ(Refusal(login), ConnackCode::kNotAuthorized) << "for another resource";
  login.password = SasToken(hub_.hostname(), "dev", hub_.Key("dev"), -360);
  EXPECT_EQ(Refusal(login), ConnackCode::kNotAuthorized) << "expired";
  login.password = "secret";
  EXPECT_EQ(Refusal(login), ConnackCode::kBadUserOrPassword);
  login = HubLogin(hub_, "dev");
  login.user_name = "dev";
  EXPECT_EQ(Refusal(login), ConnackCode::kBadUserOrPassword);
  login = HubLogin(hub_, "dev");
  login.client_id = "leaf";
  EXPECT_EQ(Refusal(login), ConnackCode::kNotAuthorized);
  hub_.SetEnabled("dev", false);
  EXPECT_EQ(Refusal(HubLogin(hub_, "dev")), ConnackCode::kNotAuthorized) << "disabled";
}

TEST_F(HubsimTest, ClosesWhatBreaksTheContract) {
  const auto breaks = [this](const std::function<void(TlsDevice*)>& deed) {
    const auto device = Connect("dev");
    deed(device.get());
    EXPECT_TRUE(device->WaitClosed());
  };
  breaks([](TlsDevice* d) { d->Publish("devices/leaf/messages/events/", "x"); });
  breaks([](TlsDevice* d) { d->Publish("sport", "x"); });
  breaks([](TlsDevice* d) { d->Publish("devices/dev/messages/events/a=1&a=2", "x"); });
  breaks([](TlsDevice* d) { d->Publish(EventsTopic("dev"), "x", 2); });
  breaks([](TlsDevice* d) { d->Publish("$iothub/twin/GET/", ""); });
  breaks([](TlsDevice* d) { d->Subscribe({"devices/leaf/messages/devicebound/#"}); });
  EXPECT_EQ(hub_.messages(), 0u);
  EXPECT_EQ(Connect("dev")->Subscribe({"sport/#", "$iothub/twin/res/#"}), std::string("\x80\x01"));
}

TEST_F(HubsimTest, ANewConnectionTakesOver) {
  const auto first = Connect("dev");
  const auto second = Connect("dev");
  EXPECT_TRUE(first->WaitClosed());
  second->Publish(EventsTopic("dev"), "x");
  EXPECT_TRUE(second->WaitForAcks(1));
  EXPECT_EQ(hub_.Counters().at("takeovers"), 1);
}

TEST_F(HubsimTest, EditsOfTheRegistryEndConnections) {
  auto leaf = Connect("leaf", "leaf;edge");
  hub_.PutEdge("other");
  hub_.PutLeaf("leaf", "other");
  EXPECT_TRUE(leaf->WaitClosed()) << "moved to another parent";
  leaf = Connect("leaf", "leaf;other");
  hub_.ChangeKeys("other/$edgeHub");
  EXPECT_TRUE(leaf->WaitClosed()) << "the actor has other keys";
  leaf = Connect("leaf", "leaf;other");
  hub_.Remove("leaf");
  EXPECT_TRUE(leaf->WaitClosed()) << "removed";
  const auto dev = Connect("dev");
  hub_.SetEnabled("dev", false);
  EXPECT_TRUE(dev->WaitClosed()) << "disabled";
}

class ShortSkewTest : public HubsimTest {
 protected:
  ShortSkewTest() : HubsimTest({.flags = {"--clock-skew", "0"}}) {}
};

TEST_F(ShortSkewTest, TheEndOfATokenEndsTheConnection) {
  TlsDevice device(HubLogin(hub_, "dev", "", 3));
  ASSERT_TRUE(device.WaitConnected());
  EXPECT_TRUE(device.WaitClosed());
  EXPECT_EQ(hub_.Counters().at("closed").at("token expired"), 1);
}

TEST_F(HubsimTest, DropAcksAndDelayAcks) {
  const auto device = Connect("dev");
  const uint64_t drop = hub_.SetFault({{"kind", "drop_acks"}, {"device", "dev"}, {"after", 10}, {"times", 5}});
  device->PublishMany(EventsTopic("dev"), "dev", 20);
  EXPECT_TRUE(device->WaitForAcks(15));
  EXPECT_FALSE(device->WaitForAcks(16, kShort));
  EXPECT_EQ(hub_.Struck(drop), 5u);
  EXPECT_EQ(hub_.Events().size(), 20u) << "taken, though not acknowledged";
  hub_.SetFault({{"kind", "delay_acks"}, {"ms", 400}});
  const absl::Time before = absl::Now();
  device->PublishMany(EventsTopic("dev"), "dev", 5);
  EXPECT_TRUE(device->WaitForAcks(20));
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(400));
  hub_.SetFault({{"kind", "delay_acks"}, {"ms", 60'000}});
  hub_.ClearFaults();
  device->Publish(EventsTopic("dev"), "x");
  EXPECT_TRUE(device->WaitForAcks(21)) << "cleared";
}

TEST_F(HubsimTest, ResetsInTheMiddleOfAWindow) {
  hub_.SetFault({{"kind", "reset"}, {"device", "dev"}, {"after", 50}, {"unacked", 8}, {"times", 1}});
  const auto other = Connect("leaf");
  auto device = Connect("dev");
  device->PublishMany(EventsTopic("dev"), "dev", 100);
  EXPECT_TRUE(device->WaitClosed());
  EXPECT_LE(device->acknowledged(), 42u);
  EXPECT_EQ(hub_.Events().size(), 50u);
  other->PublishMany(EventsTopic("leaf"), "leaf", 100);
  EXPECT_TRUE(other->WaitForAcks(100)) << "another device is not touched";
  device = Connect("dev");
  device->PublishMany(EventsTopic("dev"), "dev", 100);
  EXPECT_TRUE(device->WaitForAcks(100)) << "once";
}

TEST_F(HubsimTest, ThrottlesByRate) {
  const auto device = Connect("dev");
  hub_.SetFault({{"kind", "throttle"}, {"rate", 100}});
  const absl::Time before = absl::Now();
  device->PublishMany(EventsTopic("dev"), "dev", 50);
  EXPECT_TRUE(device->WaitForAcks(50));
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(450));
  hub_.ClearFaults();
  hub_.SetFault({{"kind", "throttle"}, {"rate", 100}, {"disconnect_after_ms", 200}});
  device->PublishMany(EventsTopic("dev"), "dev", 50);
  EXPECT_TRUE(device->WaitClosed());
}

TEST_F(HubsimTest, RefusesConnectsByCode) {
  hub_.SetFault({{"kind", "connack"}, {"code", 3}, {"device", "dev"}, {"times", 1}});
  Connect("leaf");
  EXPECT_EQ(Refusal(HubLogin(hub_, "dev")), ConnackCode::kServerUnavailable);
  Connect("dev");
}

TEST_F(HubsimTest, RefusesTcp) {
  const auto device = Connect("dev");
  hub_.SetFault({{"kind", "refuse"}});
  EXPECT_TRUE(device->WaitClosed());
  EXPECT_FALSE(PortAnswers(hub_.mqtts_port()));
  EXPECT_FALSE(PortAnswers(hub_.https_port()));
  hub_.ClearFaults();
  EXPECT_TRUE(PortAnswers(hub_.https_port()));
  Connect("dev");
}

TEST_F(HubsimTest, HangsAndGoesOn) {
  const auto device = Connect("dev");
  hub_.SetFault({{"kind", "hang"}, {"target", "mqtt"}});
  device->Publish(EventsTopic("dev"), "x");
  auto options = HubLogin(hub_, "leaf");
  TlsDevice second(options);
  EXPECT_FALSE(second.WaitConnected(kShort));
  EXPECT_FALSE(device->WaitForAcks(1, kShort));
  EXPECT_FALSE(device->WaitClosed(absl::ZeroDuration()));
  hub_.ClearFaults();
  EXPECT_TRUE(device->WaitForAcks(1)) << "what waited is served";
  EXPECT_TRUE(second.WaitConnected());
  hub_.SetFault({{"kind", "hang"}, {"device", "leaf"}});
  TlsDevice third(options);
  EXPECT_FALSE(third.WaitConnected(kShort));
  device->Publish(EventsTopic("dev"), "x");
  EXPECT_TRUE(device->WaitForAcks(2)) << "one device hangs, no other";
}

TEST_F(HubsimTest, TwinIsRefusedByStatus) {
  const auto device = Connect("dev");
  EXPECT_EQ(device->Subscribe({"$iothub/twin/res/#"}), std::string("\x01", 1));
  hub_.SetFault({{"kind", "twin_status"}, {"code", 503}, {"operation", "patch"}, {"times", 1}});
  device->Publish("$iothub/twin/GET/?$rid=a", "", 0);
  device->Publish("$iothub/twin/PATCH/properties/reported/?$rid=b", R"({"x":1})", 0);
  device->Publish("$iothub/twin/PATCH/properties/reported/?$rid=c", R"({"x":2})", 0);
  device->Publish("$iothub/twin/PATCH/properties/reported/?$rid=d", R"({"a b":2})", 0);
  ASSERT_TRUE(device->WaitForMessage(3));
  std::vector<std::string> topics;
  for (const auto& message : device->received()) topics.push_back(message.topic);
  EXPECT_THAT(topics, ElementsAre("$iothub/twin/res/200/?$rid=a", "$iothub/twin/res/503/?$rid=b",
                                  "$iothub/twin/res/204/?$rid=c&$version=2", "$iothub/twin/res/400/?$rid=d"));
  EXPECT_EQ(json::parse(device->received()[0].payload),
            json::parse(R"({"desired":{"$version":1},"reported":{"$version":1}})"));
  EXPECT_EQ(hub_.Twin("dev").at("properties").at("reported").at("x"), 2);
}

TEST_F(HubsimTest, CloudToDeviceIsKeptUntilItIsAcknowledged) {
  hub_.SendToDevice("dev", "first", {{"message_id", "m-1"}, {"properties", {{"a", "b/c"}}}});
  auto device = Connect("dev");
  EXPECT_EQ(device->Subscribe({"devices/dev/messages/devicebound/#"}), std::string("\x01", 1));
  const auto message = device->WaitForMessage(0);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->topic,
            "devices/dev/messages/devicebound/%24.to=%2Fdevices%2Fdev%2Fmessages%2FdeviceBound&%24.mid=m-1&a=b%2Fc");
  EXPECT_TRUE(WaitFor(kPatience, [&] { return hub_.Counters().at("c2d_completed") == 1; }));
  device.reset();
  hub_.SendToDevice("dev", "second");
  device = Connect("dev");
  ASSERT_TRUE(device->WaitForMessage(0)) << "the subscription is remembered";
  EXPECT_EQ(device->received()[0].payload, "second");
  device.reset();
  for (int n = 0; n < 50; ++n) hub_.SendToDevice("leaf", "x");
  EXPECT_EQ(hub_.Control("POST", "/c2d", {{"device", "leaf"}, {"payload", "x"}}).status, 403) << "the inbox is full";
}

TEST_F(HubsimTest, ARemovedDeviceLeavesNothingBehind) {
  const std::string generation = hub_.Get("dev").at("generationId");
  hub_.PatchDesired("dev", {{"rate", 5}});
  hub_.SendToDevice("dev", "x");
  hub_.Remove("dev");
  EXPECT_EQ(hub_.Control("GET", "/devices/dev").status, 404);
  hub_.PutDevice("dev");
  EXPECT_NE(hub_.Get("dev").at("generationId"), generation);
  EXPECT_EQ(hub_.Twin("dev").at("properties").at("desired").at("$version"), 1);
  EXPECT_TRUE(hub_.Control("GET", "/c2d?device=dev").body.empty());
}

TEST_F(HubsimTest, AHangMayLeaveAloneWhoIsThere) {
  const auto device = Connect("dev");
  hub_.SetFault({{"kind", "hang"}, {"existing", false}});
  device->Publish(EventsTopic("dev"), "x");
  EXPECT_TRUE(device->WaitForAcks(1));
  EXPECT_FALSE(TlsDevice(HubLogin(hub_, "leaf")).WaitConnected(kShort));
}

TEST_F(HubsimTest, SurvivesARestartWithItsRegistryAndTwins) {
  hub_.PatchDesired("dev", {{"rate", 5}});
  const json before = hub_.Get("leaf");
  ASSERT_TRUE(hub_.Stop());
  ASSERT_TRUE(hub_.Start());
  EXPECT_EQ(hub_.Get("leaf"), before);
  EXPECT_EQ(hub_.Twin("dev").at("properties").at("desired").at("rate"), 5);
  EXPECT_EQ(hub_.Get("edge/m1").at("moduleId"), "m1");
}

// A gateway's requests over HTTPS, and what can go wrong with them.
class HubsimRestTest : public HubsimTest {
 protected:
  HttpsAnswer List(const std::string& query = "") {
    const std::string token = SasToken(hub_.hostname(), "edge", hub_.Key("edge/$edgeHub"), 600, "%24edgeHub");
    const auto answer = Ask({.port = hub_.https_port(),
                             .ca_file = hub_.ca_file(),
                             .target = "/devices/edge/modules/%24edgeHub/devicesAndModulesInDeviceScope?" + query,
                             .authorization = token});
    return answer.ok() ? *answer : HttpsAnswer{};
  }
};

TEST_F(HubsimRestTest, ServesTheScope) {
  const json body = json::parse(List("deviceCount=100").body);
  EXPECT_EQ(body.at("devices").size(), 2u);
  EXPECT_EQ(body.at("modules").size(), 3u);
  EXPECT_EQ(body.at("devices")[1].at("deviceId"), "leaf");
  EXPECT_EQ(body.at("devices")[1].at("authentication").at("symmetricKey").at("primaryKey"), hub_.Key("leaf"));
  EXPECT_TRUE(body.at("continuationLink").is_null());
}

TEST_F(HubsimRestTest, FailsByStatusSoOften) {
  hub_.SetFault({{"kind", "rest_status"}, {"code", 429}, {"retry_after", 7}, {"times", 2}, {"device", "edge"}});
  for (int i = 0; i < 2; ++i) {
    const HttpsAnswer answer = List();
    EXPECT_EQ(answer.status, 429);
    EXPECT_EQ(answer.retry_after, "7");
  }
  EXPECT_EQ(List().status, 200);
}

TEST_F(HubsimRestTest, AnswersWithWrongOrTruncatedJson) {
  hub_.SetFault({{"kind", "rest_wrong_json"}, {"times", 1}});
  EXPECT_FALSE(json::parse(List().body).at("devices").is_array());
  hub_.SetFault({{"kind", "rest_truncated_json"}, {"times", 1}});
  const HttpsAnswer cut = List();
  EXPECT_EQ(cut.status, 200);
  EXPECT_TRUE(json::parse(cut.body, nullptr, false).is_discarded());
  EXPECT_TRUE(json::accept(List().body));
}

TEST_F(HubsimRestTest, IsSlow) {
  hub_.SetFault({{"kind", "rest_slow"}, {"ms", 300}, {"path", "DeviceScope"}});
  const absl::Time before = absl::Now();
  EXPECT_EQ(List().status, 200);
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(300));
}

TEST_F(HubsimRestTest, AThousandChildrenInPages) {
  for (int batch = 0; batch < 10; ++batch) {
    json devices = json::array();
    for (int i = 0; i < 100; ++i) {
      devices.push_back(
          {{"id", fmt::format("child-{:04}", batch * 100 + i)}, {"importMode", "create"}, {"parent", "edge"}});
    }
    ASSERT_EQ(hub_.Control("POST", "/devices", devices).status, 200);
  }
  std::string query = "deviceCount=100";
  size_t seen = 0;
  int pages = 0;
  while (true) {
    const json page = json::parse(List(query).body);
    seen += page.at("devices").size();
    ++pages;
    if (page.at("continuationLink").is_null()) break;
    const std::string link = page.at("continuationLink");
    query = link.substr(link.find('?') + 1);
  }
  EXPECT_EQ(seen, 1002u);
  EXPECT_EQ(pages, 11);
}

class SmallLogTest : public HubsimTest {
 protected:
  SmallLogTest() : HubsimTest({.flags = {"--events-max", "100"}}) {}
};

TEST_F(SmallLogTest, ForgetsTheOldestAndSaysSo) {
  const auto device = Connect("dev");
  device->PublishMany(EventsTopic("dev"), "dev", 250);
  ASSERT_TRUE(device->WaitForAcks(250));
  const std::vector<HubEvent> events = hub_.Events();
  ASSERT_EQ(events.size(), 100u);
  EXPECT_EQ(events[0].sequence, 150u);
  EXPECT_EQ(hub_.Control("GET", "/events?from=149").status, 410);
  EXPECT_EQ(hub_.Counters().at("events").at("dropped"), 150);
}

TEST_F(HubsimTest, IsNoBottleneck) {
  const auto device = Connect("dev");
  const absl::Time before = absl::Now();
  device->PublishMany(EventsTopic("dev"), "dev", 200'000, 256);
  ASSERT_TRUE(device->WaitForAcks(200'000, absl::Seconds(60)));
  RecordProperty("messages_per_second", static_cast<int>(200'000 / absl::ToDoubleSeconds(absl::Now() - before)));
  EXPECT_EQ(hub_.messages(), 200'000u);
}

}  // namespace
}  // namespace holdfast::systest
