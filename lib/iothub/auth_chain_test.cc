#include "lib/iothub/auth_chain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::iothub {
namespace {

using ::testing::ElementsAre;

TEST(AuthChainTest, DevicesAndModulesInEachDocumentedForm) {
  const auto leaf = ParseAuthChain("leaf;child;middle");
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  EXPECT_EQ(leaf->client, (Identity{"leaf", ""}));
  EXPECT_THAT(leaf->devices, ElementsAre("leaf", "child", "middle"));
  EXPECT_EQ(leaf->ActorIdentity(), (Identity{"middle", "$edgeHub"}));
  EXPECT_EQ(leaf->GatewaysAbove(0), "child;middle");
  EXPECT_EQ(leaf->GatewaysAbove(2), "");
  for (const char* text : {"leaf/mod;leaf;child", "leaf/mod;child"}) {
    const auto module = ParseAuthChain(text);
    ASSERT_TRUE(module.ok()) << module.status();
    EXPECT_EQ(module->client, (Identity{"leaf", "mod"})) << text;
    EXPECT_THAT(module->devices, ElementsAre("leaf", "child")) << text;
  }
}

TEST(AuthChainTest, GatewaySpeaksForItselfAndItsModules) {
  EXPECT_THAT(ParseAuthChain("child")->devices, ElementsAre("child"));
  const auto module = ParseAuthChain("child/mod;child");
  ASSERT_TRUE(module.ok()) << module.status();
  EXPECT_THAT(module->devices, ElementsAre("child"));
  EXPECT_EQ(module->actor(), "child");
}

// P11: everybody on whom the grant rests, the one who speaks included.
TEST(AuthChainTest, LinksAreTheGatewaysAndTheModuleThatSpeaks) {
  EXPECT_THAT(ParseAuthChain("leaf;child;middle")->Links(),
              ElementsAre(Identity{"child", ""}, Identity{"middle", ""}, Identity{"middle", "$edgeHub"}));
  EXPECT_THAT(ParseAuthChain("child/mod;child")->Links(), ElementsAre(Identity{"child", "$edgeHub"}));
}

TEST(AuthChainTest, WhatIsNoChain) {
  for (const char* text :
       {"", ";", "leaf;", ";child", "leaf;;child", "leaf/;child", "/mod;child", "leaf/mod", "leaf/m/n;child",
        "leaf;ch ild", "leaf;child/mod", "leaf;child;leaf", "leaf;child;child", "leaf/mod;leaf;leaf"}) {
    EXPECT_EQ(ParseAuthChain(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

// P12: five layers of gateways, and no more.
TEST(AuthChainTest, DepthIsLimited) {
  EXPECT_TRUE(ParseAuthChain("leaf;g1;g2;g3;g4;g5").ok());
  EXPECT_TRUE(ParseAuthChain("leaf/mod;leaf;g1;g2;g3;g4;g5").ok());
  EXPECT_FALSE(ParseAuthChain("leaf;g1;g2;g3;g4;g5;g6").ok());
}

}  // namespace
}  // namespace holdfast::iothub
