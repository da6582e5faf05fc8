#include "services/router/method_topics.h"

#include <gtest/gtest.h>

namespace holdfast::router {
namespace {

TEST(MethodTopicsTest, NameIsEncoded) {
  EXPECT_EQ(MethodRequestTopic("reboot", "1f"), "$iothub/methods/POST/reboot/?$rid=1f");
  EXPECT_EQ(MethodRequestTopic("a/b #+", "1"), "$iothub/methods/POST/a%2Fb%20%23%2B/?$rid=1");
}

TEST(MethodTopicsTest, AnswerHasStatusAndRequestId) {
  const auto response = ParseMethodResponse("$iothub/methods/res/-7/?$rid=1F");
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->status, -7);
  EXPECT_EQ(response->rid, "1f") << "compared ignoring case";
  EXPECT_EQ(ParseMethodResponse("$iothub/methods/res/200/?x=1&$rid=a")->rid, "a");
}

TEST(MethodTopicsTest, StatusThatIsNoNumberIsAStatusOfItsOwn) {
  for (const char* status : {"", "ok", "2x", "99999999999"}) {
    const auto response = ParseMethodResponse(std::string("$iothub/methods/res/") + status + "/?$rid=1");
    ASSERT_TRUE(response.has_value()) << status;
    EXPECT_EQ(response->status, kMalformedStatus) << status;
  }
}

TEST(MethodTopicsTest, WithoutARequestIdItAnswersNobody) {
  for (const char* topic : {"$iothub/methods/res/200/", "$iothub/methods/res/200",
                            "$iothub/methods/res/200/?$rid=", "$iothub/methods/POST/x/?$rid=1", ""}) {
    EXPECT_FALSE(ParseMethodResponse(topic).has_value()) << topic;
  }
}

}  // namespace
}  // namespace holdfast::router
