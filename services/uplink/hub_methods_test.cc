#include "services/uplink/hub_methods.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::uplink {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(HubMethodsTest, TopicNamesMethodAndRequest) {
  const auto call = ParseMethodTopic("$iothub/methods/POST/Refresh%20it/?$rid=1F-a");
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_EQ(call->name, "Refresh it");
  EXPECT_EQ(call->rid, "1F-a") << "byte for byte, since the answer repeats it";
  EXPECT_EQ(MethodResponseTopic(call->rid, 200), "$iothub/methods/res/200/?$rid=1F-a");
}

TEST(HubMethodsTest, OtherTopicsAreErrors) {
  for (const char* topic :
       {"", "$iothub/methods/POST/", "$iothub/methods/POST/x", "$iothub/methods/POST/x/", "$iothub/methods/POST/x/?",
        "$iothub/methods/POST//?$rid=1", "$iothub/twin/res/200/?$rid=1", "$iothub/methods/POST/x/?rid=1"}) {
    EXPECT_FALSE(ParseMethodTopic(topic).ok()) << topic;
  }
}

TEST(HubMethodsTest, PayloadNamesDevicesOrNobody) {
  for (const char* everybody : {"", "null", "{}", R"({"deviceIds": null})", R"({"deviceIds": []})"}) {
    const auto ids = ParseRefreshPayload(everybody);
    ASSERT_TRUE(ids.ok()) << everybody;
    EXPECT_THAT(*ids, IsEmpty()) << everybody;
  }
  EXPECT_THAT(*ParseRefreshPayload(R"({"deviceIds": ["a", "b"]})"), ElementsAre("a", "b"));
  for (const char* bad : {"[]", "7", "{", R"({"deviceIds": "a"})", R"({"deviceIds": [1]})"}) {
    EXPECT_FALSE(ParseRefreshPayload(bad).ok()) << bad;
  }
  // P12
  std::string many = "\"a\"";
  for (int i = 0; i < 1000; ++i) many += ",\"a\"";
  EXPECT_FALSE(ParseRefreshPayload("{\"deviceIds\": [" + many + "]}").ok());
}

}  // namespace
}  // namespace holdfast::uplink
