#include "lib/routes/bag_message.h"

#include <gtest/gtest.h>

#include "lib/mqtt/property_bag.h"
#include "lib/routes/condition.h"

namespace holdfast::routes {
namespace {

constexpr char kBag[] =
    "%24.mid=m%2F1&$.ct=application%2Fjson&%24.ce=utf-8&color=red&empty=&nothing&K%20ey=a%20b&$.on=out%2Dput";

BagMessageParts Parts(std::string_view bag) {
  EXPECT_EQ(mqtt::CheckBag(bag), mqtt::BagError::kOk);
  return {.device_id = "d1", .property_bag = bag, .body = R"({"t": 1})", .received_unix_ms = 1764054000123};
}

TEST(BagMessageTest, ApplicationProperties) {
  const BagMessage message(Parts(kBag));
  EXPECT_EQ(message.ApplicationProperty("color").text(), "red");
  EXPECT_EQ(message.ApplicationProperty("COLOR").text(), "red");
  EXPECT_EQ(message.ApplicationProperty("k ey").text(), "a b");
  EXPECT_FALSE(message.ApplicationProperty("empty").null());
  EXPECT_FALSE(message.ApplicationProperty("empty").absent());
  EXPECT_TRUE(message.ApplicationProperty("nothing").null());
  EXPECT_TRUE(message.ApplicationProperty("none").absent());
  EXPECT_TRUE(message.ApplicationProperty("colo").absent());
  EXPECT_TRUE(message.ApplicationProperty("$.mid").absent());
}

TEST(BagMessageTest, SystemProperties) {
  const BagMessage message(Parts(kBag));
  EXPECT_EQ(message.SystemProperty("messageId").text(), "m/1");
  EXPECT_EQ(message.SystemProperty("CONTENTTYPE").text(), "application/json");
  EXPECT_EQ(message.SystemProperty("contentEncoding").text(), "utf-8");
  EXPECT_EQ(message.SystemProperty("connectionDeviceId").text(), "d1");
  EXPECT_TRUE(message.SystemProperty("connectionModuleId").absent());
  EXPECT_EQ(message.SystemProperty("enqueuedTime").text(), "2025-11-25T07:00:00.123Z");
  EXPECT_TRUE(message.SystemProperty("color").absent());
  EXPECT_TRUE(message.SystemProperty("correlationId").absent());
}

TEST(BagMessageTest, Sources) {
  BagMessageParts parts = Parts(kBag);
  EXPECT_EQ(BagMessage(parts).source(), "/messages/") << "an output of a device says nothing";
  parts.module_id = "m";
  EXPECT_EQ(BagMessage(parts).source(), "/messages/modules/m/outputs/out-put");
  parts.property_bag = "a=b";
  EXPECT_EQ(BagMessage(parts).source(), "/messages/modules/m");
  parts.twin_change = true;
  EXPECT_EQ(BagMessage(parts).source(), "/twinChangeNotifications/");
}

// Contract A7: retain becomes mqtt-retain=true; a will iothub-MessageType=Will.
TEST(BagMessageTest, FlagsAreProperties) {
  BagMessageParts parts = Parts("");
  EXPECT_TRUE(BagMessage(parts).ApplicationProperty("mqtt-retain").absent());
  parts.retain = true;
  parts.will = true;
  EXPECT_EQ(BagMessage(parts).ApplicationProperty("mqtt-retain").text(), "true");
  EXPECT_EQ(BagMessage(parts).ApplicationProperty("iothub-messagetype").text(), "Will");
}

TEST(BagMessageTest, LongValuesAreDecodedToo) {
  const std::string value(2 * BagMessage::kInlineBytes, 'x');
  const std::string bag = "a=%20" + value;
  const BagMessage message(Parts(bag));
  EXPECT_EQ(message.ApplicationProperty("a").text(), " " + value);
}

TEST(BagMessageTest, Conditions) {
  BagMessageParts parts = Parts(kBag);
  parts.module_id = "m";
  const BagMessage message(parts);
  for (const char* condition : {"color = 'red' AND $body.t = 1", "$outputName = 'out-put'", "is_null(nothing)",
                                "IS_DEFINED($connectionModuleId)", "$messageId = 'm/1'"}) {
    EXPECT_EQ(Condition::Compile(condition)->Evaluate(message), Truth::kTrue) << condition;
  }
}

}  // namespace
}  // namespace holdfast::routes
