#include "services/uplink/hub_topics.h"

#include <gtest/gtest.h>

#include "services/uplink/hub_method_calls.h"

namespace holdfast::uplink {
namespace {

TEST(HubTopics, EachKindIsKnownByItsTopic) {
  const auto kind = [](std::string_view topic) { return ClassifyHubTopic(topic, "dev1"); };
  EXPECT_EQ(kind("devices/dev1/messages/devicebound/%24.mid=1"), HubTopicKind::kCloudToDevice);
  EXPECT_EQ(kind("devices/dev1/messages/devicebound/"), HubTopicKind::kCloudToDevice);
  EXPECT_EQ(kind("devices/dev2/messages/devicebound/"), HubTopicKind::kOther) << "another's";
  EXPECT_EQ(kind("devices/dev1"), HubTopicKind::kOther);
  EXPECT_EQ(kind("$iothub/methods/POST/reboot/?$rid=1"), HubTopicKind::kMethod);
  EXPECT_EQ(kind("$iothub/twin/res/200/?$rid=1"), HubTopicKind::kTwinResponse);
  EXPECT_EQ(kind("$iothub/twin/PATCH/properties/desired/?$version=2"), HubTopicKind::kDesired);
}

TEST(HubTopics, BagIsGivenAsItCame) {
  EXPECT_EQ(CloudToDeviceBag("devices/dev1/messages/devicebound/%24.mid=1&a=b%2Fc", "dev1"), "%24.mid=1&a=b%2Fc");
  EXPECT_EQ(CloudToDeviceBag("devices/dev1/messages/devicebound/a=b/", "dev1"), "a=b");
  EXPECT_EQ(CloudToDeviceBag("devices/dev1/messages/devicebound/", "dev1"), "");
}

TEST(HubTopics, TwinResponse) {
  const auto answer = ParseTwinResponse("$iothub/twin/res/204/?$rid=a7&$version=12");
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->status, 204);
  EXPECT_EQ(answer->rid, "a7");
  EXPECT_EQ(ParseTwinResponse("$iothub/twin/res/200/?$version=3&$rid=9")->rid, "9");
  for (const std::string_view bad :
       {"$iothub/twin/res/", "$iothub/twin/res/20/?$rid=1", "$iothub/twin/res/2000/?$rid=1", "$iothub/twin/res/200/",
        "$iothub/twin/res/200/?$rid=", "$iothub/twin/res/x/?$rid=1", "$iothub/twin/res/-20/?$rid=1", "other"}) {
    EXPECT_FALSE(ParseTwinResponse(bad).ok()) << bad;
  }
}

TEST(HubTopics, ExpiryInTheFormsThatAreInUse) {
  const absl::Time time = absl::FromUnixMillis(1'800'000'000'250);
  EXPECT_EQ(ExpiryOf("%24.mid=1&%24.exp=2027-01-15T08%3A00%3A00.2500000Z"), time);
  EXPECT_EQ(ExpiryOf("$.exp=2027-01-15T08:00:00.25"), time) << "without a zone it is UTC";
  EXPECT_EQ(ExpiryOf("$.exp=2027-01-15T10:00:00.25%2B02:00"), time);
  EXPECT_FALSE(ExpiryOf("$.exp=tomorrow"));
  EXPECT_FALSE(ExpiryOf("$.exp"));
  EXPECT_FALSE(ExpiryOf("a=b"));
  EXPECT_FALSE(ExpiryOf("&&"));
}

TEST(HubMethodStatus, EachEndHasItsNumber) {
  EXPECT_EQ(HubMethodStatus(absl::NotFoundError("")), 404);
  EXPECT_EQ(HubMethodStatus(absl::DeadlineExceededError("")), 504);
  EXPECT_EQ(HubMethodStatus(absl::AbortedError("")), 504);
  EXPECT_EQ(HubMethodStatus(absl::ResourceExhaustedError("")), 429);
  EXPECT_EQ(HubMethodStatus(absl::InvalidArgumentError("")), 400);
  EXPECT_EQ(HubMethodStatus(absl::UnavailableError("")), 503);
  EXPECT_EQ(HubMethodStatus(absl::InternalError("")), 500);
}

}  // namespace
}  // namespace holdfast::uplink
