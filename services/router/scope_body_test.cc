#include "services/router/scope_body.h"

#include <gtest/gtest.h>

#include <string>

namespace holdfast::router {
namespace {

TEST(ReadScopeRequestTest, BothRequestsOfTheContract) {
  const auto list =
      ReadScopeRequest(ScopeQuestion::kList, "child", "$edgeHub",
                       R"({"pageSize":25,"continuationLink":"next","authChain":"leaf;child","more":[1]})");
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->gateway_device_id(), "child");
  EXPECT_EQ(list->auth_chain(), "leaf;child");
  EXPECT_EQ(list->children().page_size(), 25u);
  EXPECT_EQ(list->children().continuation(), "next");
  const auto one = ReadScopeRequest(ScopeQuestion::kOne, "child", "$edgeHub",
                                    R"({"targetDeviceId":"leaf","targetModuleId":null,"authChain":"leaf;child"})");
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->identity().device_id(), "leaf");
  EXPECT_EQ(one->identity().module_id(), "");
  EXPECT_EQ(ReadScopeRequest(ScopeQuestion::kList, "child", "$edgeHub", R"({"authChain":"x","pageSize":5000000000})")
                ->children()
                .page_size(),
            1000u);
}

TEST(ReadScopeRequestTest, WhatIsNoRequest) {
  for (const char* body : {"", "[]", "{}", R"({"authChain":1})", R"({"authChain":"child","pageSize":0})",
                           R"({"authChain":"child","pageSize":"a"})", R"({"authChain":"child","pageSize":1.5})",
                           R"({"authChain":"child","continuationLink":{}})"}) {
    EXPECT_EQ(ReadScopeRequest(ScopeQuestion::kList, "child", "$edgeHub", body).status().code(),
              absl::StatusCode::kInvalidArgument)
        << body;
  }
  EXPECT_EQ(ReadScopeRequest(ScopeQuestion::kList, "ch ild", "$edgeHub", R"({"authChain":"x"})").status().code(),
            absl::StatusCode::kInvalidArgument);
}

// P12
TEST(ReadScopeRequestTest, DeepNestingIsNotRead) {
  const std::string deep = std::string(kScopeJsonDepthMax, '[') + std::string(kScopeJsonDepthMax, ']');
  EXPECT_EQ(ReadScopeRequest(ScopeQuestion::kList, "child", "$edgeHub", R"({"authChain":"child","more":)" + deep + "}")
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace holdfast::router
