#include "tests/hubsim/inbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::hubsim {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

CloudMessage Message(const std::string& payload, absl::Duration ttl = absl::Hours(1)) {
  return {.payload = payload, .expires = kNow + ttl};
}

class InboxTest : public ::testing::Test {
 protected:
  std::vector<std::string> Deliver(absl::Time now = kNow) {
    std::vector<std::string> sent;
    inbox_.Deliver(now, [&](const CloudMessage& m) {
      sent.push_back(m.payload);
      return needs_ack_ ? ++last_id_ : uint16_t{0};
    });
    return sent;
  }

  Inbox inbox_;
  bool needs_ack_ = true;
  uint16_t last_id_ = 0;
};

TEST_F(InboxTest, KeepsAMessageUntilItIsComplete) {
  ASSERT_TRUE(inbox_.Add(Message("a"), kNow).ok());
  ASSERT_TRUE(inbox_.Add(Message("b"), kNow).ok());
  EXPECT_THAT(Deliver(), ElementsAre("a", "b"));
  EXPECT_THAT(Deliver(), ElementsAre()) << "on their way";
  EXPECT_TRUE(inbox_.Complete(1));
  EXPECT_FALSE(inbox_.Complete(1));
  inbox_.Abandon();
  EXPECT_THAT(Deliver(), ElementsAre("b"));
  EXPECT_EQ(inbox_.messages()[0].deliveries, 2u);
  EXPECT_TRUE(inbox_.Complete(3));
  EXPECT_EQ(inbox_.size(), 0u);
}

TEST_F(InboxTest, WithoutAcknowledgementItIsDoneAtOnce) {
  needs_ack_ = false;
  ASSERT_TRUE(inbox_.Add(Message("a"), kNow).ok());
  EXPECT_THAT(Deliver(), ElementsAre("a"));
  EXPECT_EQ(inbox_.size(), 0u);
}

TEST_F(InboxTest, IsFullAtItsLimitAndExpiredMakesRoom) {
  ASSERT_TRUE(inbox_.Add(Message("short", absl::Seconds(1)), kNow).ok());
  while (inbox_.size() < kInboxMessagesMax) ASSERT_TRUE(inbox_.Add(Message("x"), kNow).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(inbox_.Add(Message("y"), kNow)));
  EXPECT_TRUE(inbox_.Add(Message("y"), kNow + absl::Seconds(2)).ok());
  EXPECT_EQ(Deliver(kNow + absl::Hours(2)).size(), 0u);
}

TEST(CloudMessageTest, EncodesItsProperties) {
  const auto message = CloudMessageFromJson(json::parse(R"({"payload_base64":"AP8=","message_id":"m/1","ack":"full",
    "properties":{"a b":"ü","none":null},"ttl_seconds":60})"),
                                            "d", kNow);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->payload, std::string("\0\xff", 2));
  EXPECT_EQ(message->bag,
            "%24.to=%2Fdevices%2Fd%2Fmessages%2FdeviceBound&%24.mid=m%2F1&iothub-ack=full&a%20b=%C3%BC&none"
            "&%24.exp=2027-01-15T08%3A01%3A00.0000000Z");
  EXPECT_EQ(message->expires, kNow + absl::Minutes(1));
}

TEST(CloudMessageTest, RefusesWhatIsNoMessage) {
  for (const char* text : {R"({"payload":1})", R"({"payload_base64":"!"})", R"({"properties":[]})",
                           R"({"properties":{"a":1}})", R"({"properties":{"":"x"}})", R"({"properties":{"$.to":"x"}})",
                           R"({"ttl_seconds":0})", R"({"message_id":5})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CloudMessageFromJson(json::parse(text), "d", kNow).status())) << text;
  }
  EXPECT_FALSE(CloudMessageFromJson({{"payload", std::string(kInboxMessageBytesMax, 'x')}}, "d", kNow).ok());
}

}  // namespace
}  // namespace holdfast::hubsim
