#include "services/router/method_body.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace holdfast::router {
namespace {

using ::testing::HasSubstr;

std::string Nested(size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(MethodBodyTest, CallHasDefaults) {
  const auto call = ParseMethodCall(R"({"methodName": "reboot"})");
  ASSERT_TRUE(call.ok());
  EXPECT_EQ(call->name, "reboot");
  EXPECT_EQ(call->payload, "null");
  EXPECT_EQ(call->response_timeout, kResponseTimeoutDefault);
  EXPECT_EQ(call->connect_timeout, absl::ZeroDuration());
}

TEST(MethodBodyTest, WhatIsNoCallIsSaid) {
  for (const auto& [body, word] :
       {std::pair{"", "JSON"},
        {"[]", "JSON"},
        {R"({"payload": 1})", "methodName"},
        {R"({"methodName": 7})", "methodName"},
        {R"({"methodName": "m", "responseTimeoutInSeconds": "5"})", "responseTimeoutInSeconds"},
        {R"({"methodName": "m", "connectTimeoutInSeconds": -1})", "connectTimeoutInSeconds"}}) {
    EXPECT_THAT(std::string(ParseMethodCall(body).status().message()), HasSubstr(word)) << body;
  }
}

// A tree of 128 KiB of brackets would be written out by recursion: a client could end the process by it.
TEST(MethodBodyTest, NestingIsLimitedInBothDirections) {
  const auto body = [](const std::string& payload) { return R"({"methodName": "m", "payload": )" + payload + "}"; };
  EXPECT_TRUE(ParseMethodCall(body(Nested(kMethodJsonDepthMax - 1))).ok());
  EXPECT_THAT(std::string(ParseMethodCall(body(Nested(200'000))).status().message()), HasSubstr("deeper"));

  v1::InvokeMethodResponse answer;
  answer.set_status(200);
  answer.set_payload(Nested(60'000));
  EXPECT_THAT(MethodResponse(answer).body, HasSubstr("\"[[[[")) << "passed on as text";
}

}  // namespace
}  // namespace holdfast::router
