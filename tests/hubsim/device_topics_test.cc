#include "tests/hubsim/device_topics.h"

#include <gtest/gtest.h>

namespace holdfast::hubsim {
namespace {

const DeviceTopics kDevice("d", "");
const DeviceTopics kModule("d", "m");

TEST(DeviceTopicsTest, KnowsItsOwnTelemetry) {
  for (const char* topic : {"devices/d/messages/events", "devices/d/messages/events/", "devices/d/messages/events/a=b",
                            "devices/d/messages/events/%24.mid=1&a/"}) {
    EXPECT_EQ(kDevice.Classify(topic).kind, TopicKind::kTelemetry) << topic;
  }
  EXPECT_EQ(kDevice.Classify("devices/d/messages/events/a=b").bag_at, 26u);
  EXPECT_EQ(kModule.Classify("devices/d/modules/m/messages/events/").kind, TopicKind::kTelemetry);
}

TEST(DeviceTopicsTest, ForbidsEverythingElse) {
  for (const char* topic :
       {"devices/e/messages/events/", "devices/d/modules/m/messages/events/", "devices/d/messages/eventsx",
        "devices/d/messages/events/a=1&a=2", "devices/d/messages/devicebound/", "x/devices/d/messages/events/",
        "$iothub/twin/GET/", "$iothub/twin/GET/?$rid=", "$iothub/methods/res/x/?$rid=1", "$iothub/methods/res/200/",
        "$iothub/methods/POST/x/?$rid=1", "sport", ""}) {
    EXPECT_EQ(kDevice.Classify(topic).kind, TopicKind::kForbidden) << topic;
    EXPECT_FALSE(kDevice.Classify(topic).reason.empty()) << topic;
  }
  EXPECT_EQ(kModule.Classify("devices/d/messages/events/").kind, TopicKind::kForbidden) << "its device's";
}

TEST(DeviceTopicsTest, ReadsRequests) {
  EXPECT_EQ(kDevice.Classify("$iothub/twin/GET/?$rid=a-1").rid, "a-1");
  EXPECT_EQ(kDevice.Classify("$iothub/twin/PATCH/properties/reported/?x=1&$rid=b").rid, "b");
  EXPECT_EQ(kDevice.Classify("$iothub/twin/PATCH/properties/reported/").kind, TopicKind::kTwinPatch)
      << "no answer wanted";
  const Topic answer = kDevice.Classify("$iothub/methods/res/-7/?$rid=9");
  EXPECT_EQ(answer.kind, TopicKind::kMethodResponse);
  EXPECT_EQ(answer.status, -7);
  EXPECT_EQ(answer.rid, "9");
}

TEST(DeviceTopicsTest, GrantsTheContractsFilters) {
  bool foreign = false;
  EXPECT_EQ(kDevice.ClassifyFilter("$iothub/twin/res/#", &foreign), kTwinResponses);
  EXPECT_EQ(kDevice.ClassifyFilter("$iothub/twin/PATCH/properties/desired/#", &foreign), kDesired);
  EXPECT_EQ(kDevice.ClassifyFilter("$iothub/methods/POST/#", &foreign), kMethods);
  EXPECT_EQ(kDevice.ClassifyFilter("devices/d/messages/devicebound/#", &foreign), kDevicebound);
  EXPECT_EQ(kModule.ClassifyFilter("devices/d/modules/m/inputs/#", &foreign), kInputs);
  EXPECT_EQ(kModule.ClassifyFilter("devices/d/modules/m/#", &foreign), kInputs);
  EXPECT_FALSE(foreign);
  EXPECT_EQ(kModule.ClassifyFilter("devices/d/messages/devicebound/#", &foreign), kNoFilter);
  EXPECT_TRUE(foreign) << "modules have no cloud-to-device";
  EXPECT_EQ(kDevice.ClassifyFilter("devices/e/messages/devicebound/#", &foreign), kNoFilter);
  EXPECT_TRUE(foreign);
  EXPECT_EQ(kDevice.ClassifyFilter("#", &foreign), kNoFilter);
  EXPECT_FALSE(foreign);
}

}  // namespace
}  // namespace holdfast::hubsim
