#include "services/uplink/topic_template.h"

#include <gtest/gtest.h>

#include "holdfast/message/v1/message.pb.h"

namespace holdfast::uplink {
namespace {

class TopicTemplateTest : public testing::Test {
 protected:
  std::string Build(const EnvelopeView& message) {
    std::string topic;
    const auto topics = TopicTemplate::Create(kDeviceTopic, kModuleTopic);
    return topics->Build(message, "q-7", &topic) ? topic : "(none)";
  }
};

TEST_F(TopicTemplateTest, DeviceAndModule) {
  EXPECT_EQ(Build({.device_id = "d"}), "devices/d/messages/events/hf-id=q-7");
  EXPECT_EQ(Build({.device_id = "d", .module_id = "m"}), "devices/d/modules/m/messages/events/hf-id=q-7");
}

TEST_F(TopicTemplateTest, BagStaysAsTheSenderEncodedIt) {
  EXPECT_EQ(Build({.device_id = "d", .property_bag = "%24.ct=application%2Fjson&null&e="}),
            "devices/d/messages/events/%24.ct=application%2Fjson&null&e=&hf-id=q-7");
  EXPECT_EQ(Build({.device_id = "d", .property_bag = "a=1/"}), "devices/d/messages/events/a=1&hf-id=q-7");
}

TEST_F(TopicTemplateTest, WillAndRetain) {
  EXPECT_EQ(Build({.kind = 1, .device_id = "d"}), "devices/d/messages/events/iothub-MessageType=Will&hf-id=q-7");
  EXPECT_EQ(Build({.device_id = "d", .property_bag = "a=1", .retain = true}),
            "devices/d/messages/events/a=1&mqtt-retain=true&hf-id=q-7");
}

TEST_F(TopicTemplateTest, OurPropertiesWinOverTheSenders) {
  EXPECT_EQ(Build({.device_id = "d", .property_bag = "a=1&hf%2Did=x&b"}), "devices/d/messages/events/a=1&b&hf-id=q-7");
  EXPECT_EQ(Build({.device_id = "d", .property_bag = "mqtt-retain=no", .retain = true}),
            "devices/d/messages/events/mqtt-retain=true&hf-id=q-7");
  EXPECT_EQ(Build({.device_id = "d", .property_bag = "mqtt-retain=no"}),
            "devices/d/messages/events/mqtt-retain=no&hf-id=q-7");
}

// P3: the id of the gateway below is the same in every copy, whichever of the two ways it was sent twice on.
TEST_F(TopicTemplateTest, IdOfAChildGatewayStays) {
  EXPECT_EQ(Build({.device_id = "d", .property_bag = "a=1&hf-id=q-3&b", .on_behalf = true}),
            "devices/d/messages/events/a=1&hf-id=q-3&b");
  EXPECT_EQ(Build({.device_id = "d", .property_bag = "hf-id=q-3", .retain = true, .on_behalf = true}),
            "devices/d/messages/events/hf-id=q-3&mqtt-retain=true");
  EXPECT_EQ(Build({.device_id = "d", .property_bag = "a=1", .on_behalf = true}),
            "devices/d/messages/events/a=1&hf-id=q-7")
      << "a gateway that gives none";
}

TEST_F(TopicTemplateTest, IdentityStaysOneLevel) {
  EXPECT_EQ(Build({.device_id = "a/b#c+d:e$"}), "devices/a%2Fb%23c%2Bd:e$/messages/events/hf-id=q-7");
}

TEST_F(TopicTemplateTest, NotPublishable) {
  EXPECT_EQ(Build({.device_id = "d", .property_bag = std::string(65'520, 'k')}), "(none)");
  EXPECT_EQ(Build({.device_id = "d\xff"}), "(none)");
  EXPECT_EQ(Build({.device_id = std::string_view("d\0", 2)}), "(none)");
}

TEST_F(TopicTemplateTest, OwnTemplates) {
  const auto topics = TopicTemplate::Create("site/{device_id}/{properties}/x", "site/{module_id}");
  ASSERT_TRUE(topics.ok());
  std::string topic;
  EXPECT_TRUE(topics->Build({.device_id = "d"}, "q-1", &topic));
  EXPECT_EQ(topic, "site/d/hf-id=q-1/x");
  EXPECT_TRUE(topics->Build({.device_id = "d", .module_id = "m"}, "q-1", &topic));
  EXPECT_EQ(topic, "site/m");
  for (const char* bad : {"", "a/{device}", "a/{device_id", "a/}", "a/#", "a/+/b"}) {
    EXPECT_FALSE(TopicTemplate::Create(bad, kModuleTopic).ok()) << bad;
  }
}

}  // namespace
}  // namespace holdfast::uplink
