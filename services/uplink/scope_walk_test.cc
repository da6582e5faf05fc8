#include "services/uplink/scope_walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace holdfast::uplink {
namespace {

using nlohmann::json;
using testing::HasSubstr;

ScopePage Page(std::vector<ScopeDevice> devices, std::optional<std::string> continuation = std::nullopt) {
  return {.devices = std::move(devices), .continuation = std::move(continuation)};
}
ScopeDevice Leaf(std::string id) {
  return {std::move(id), false, true};
}
ScopeDevice Gateway(std::string id) {
  return {std::move(id), true, true};
}

TEST(ScopePageTest, ReadsWhatItNeeds) {
  const auto page = ReadScopePage(R"({
    "devices": [
      {"deviceId": "a", "status": "enabled", "capabilities": {"iotEdge": false},
       "authentication": {"type": "sas", "symmetricKey": {"primaryKey": "iotEdge", "secondaryKey": null}},
       "parentScopes": ["x", {"deviceId": "not me"}]},
      {"deviceId": "b", "status": "disabled", "capabilities": {"iotEdge": true}}],
    "modules": [{"deviceId": "a", "moduleId": "m"}, {"deviceId": "a", "moduleId": "n"}],
    "continuationLink": "/next?x=1", "more": [1, [2]]})");
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->devices.size(), 2u);
  EXPECT_EQ(page->devices[0].id, "a");
  EXPECT_FALSE(page->devices[0].is_gateway);
  EXPECT_TRUE(page->devices[0].enabled);
  EXPECT_EQ(page->devices[1].id, "b");
  EXPECT_TRUE(page->devices[1].is_gateway);
  EXPECT_FALSE(page->devices[1].enabled);
  EXPECT_EQ(page->modules, 2u);
  EXPECT_EQ(page->continuation, "/next?x=1");
}

TEST(ScopePageTest, NullIsNothing) {
  const auto page = ReadScopePage(R"({"devices": null, "modules": null, "continuationLink": null})");
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_TRUE(page->devices.empty());
  EXPECT_EQ(page->continuation, std::nullopt);
}

TEST(ScopePageTest, AnotherDocumentIsAnError) {
  for (const std::string_view text :
       {"", "null", "[]", "{}", "<html>", "\"x\"", R"({"Message": "error"})", R"({"devices": []})",
        R"({"devices": [], "modules": []})", R"({"devices": {}, "modules": [], "continuationLink": null})",
        R"({"devices": 1, "modules": [], "continuationLink": null})",
        R"({"devices": [1], "modules": [], "continuationLink": null})",
        R"({"devices": [[]], "modules": [], "continuationLink": null})",
        R"({"devices": [{}], "modules": [], "continuationLink": null})",
        R"({"devices": [], "modules": [], "continuationLink": 7})",
        R"({"devices": [], "modules": [], "continuationLink": {}})",
        R"({"devices": [], "modules": [], "continuationLink": null)"}) {
    EXPECT_EQ(ReadScopePage(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ScopeWalkTest, NestedShapePageAfterPageThenTheChildGateways) {
  ScopeWalk walk({.gateway = "edge1", .page_size = 10});
  auto call = walk.Next();
  ASSERT_TRUE(call);
  EXPECT_TRUE(call->post);
  EXPECT_EQ(call->path,
            "/devices/edge1/modules/$edgeHub/devicesAndModulesInTargetDeviceScope?api-version=2020-06-30-preview");
  EXPECT_EQ(json::parse(call->body), (json{{"pageSize", 10}, {"authChain", "edge1"}}));
  ASSERT_TRUE(walk.OnPage(Page({Gateway("edge1"), Leaf("a"), Gateway("edge2")}, "token 1")).ok());
  call = walk.Next();
  EXPECT_EQ(json::parse(call->body), (json{{"pageSize", 10}, {"authChain", "edge1"}, {"continuationLink", "token 1"}}));
  ASSERT_TRUE(walk.OnPage(Page({Leaf("b")})).ok());
  EXPECT_EQ(json::parse(walk.Next()->body)["authChain"], "edge2;edge1");
  ASSERT_TRUE(walk.OnPage(Page({Gateway("edge2"), Leaf("c"), Gateway("edge3")})).ok());
  EXPECT_EQ(json::parse(walk.Next()->body)["authChain"], "edge3;edge2;edge1");
  ASSERT_TRUE(walk.OnPage(Page({Leaf("d")})).ok());
  EXPECT_EQ(walk.Next(), std::nullopt);
  EXPECT_EQ(walk.pages(), 4u);
  const auto parents = walk.TakeParents();
  EXPECT_FALSE(parents.contains("a"));
  EXPECT_EQ(parents.at("c"), "edge2");
  EXPECT_EQ(parents.at("d"), "edge3;edge2");
}

TEST(ScopeWalkTest, BelowAChildGatewayOnly) {
  ScopeWalk walk({.gateway = "edge1"}, "edge3", "edge2");
  EXPECT_FALSE(walk.FallBack()) << "the flat shape would list this gateway's own children";
  EXPECT_EQ(json::parse(walk.Next()->body)["authChain"], "edge3;edge2;edge1");
  ASSERT_TRUE(walk.OnPage(Page({Gateway("edge3"), Leaf("a"), Gateway("edge4"), Gateway("edge1")})).ok());
  EXPECT_EQ(json::parse(walk.Next()->body)["authChain"], "edge4;edge3;edge2;edge1");
  ASSERT_TRUE(walk.OnPage(Page({Leaf("b")})).ok());
  EXPECT_EQ(walk.Next(), std::nullopt);
  const auto parents = walk.TakeParents();
  EXPECT_EQ(parents.at("a"), "edge3;edge2");
  EXPECT_EQ(parents.at("b"), "edge4;edge3;edge2");
  EXPECT_THAT(walk.TakeGateways(), testing::UnorderedElementsAre("edge1", "edge3", "edge4"));
}

// P12
TEST(ScopeWalkTest, NobodyIsBelowAGatewayThatIsTooFarDown) {
  EXPECT_NE(ScopeWalk({.gateway = "g0"}, "g5", "g4;g3;g2;g1").Next(), std::nullopt);
  EXPECT_EQ(ScopeWalk({.gateway = "g0"}, "g6", "g5;g4;g3;g2;g1").Next(), std::nullopt);
}

TEST(ScopeWalkTest, FlatShapeFollowsTheLinks) {
  ScopeWalk walk({.gateway = "edge 1", .api = ScopeApi::kFlat, .page_size = 10});
  auto call = walk.Next();
  EXPECT_FALSE(call->post);
  EXPECT_EQ(call->path,
            "/devices/edge%201/modules/$edgeHub/devicesAndModulesInDeviceScope?deviceCount=10&continuationToken="
            "&api-version=2018-08-30-preview");
  ASSERT_TRUE(walk.OnPage(Page({Gateway("edge2")}, "/devices/edge1/next")).ok());
  EXPECT_EQ(walk.Next()->path, "/devices/edge1/next");
  ASSERT_TRUE(walk.OnPage(Page({})).ok());
  EXPECT_EQ(walk.Next(), std::nullopt) << "no child gateways in this shape";
}

TEST(ScopeWalkTest, FallsBackToTheFlatShapeAtTheFirstCallOnly) {
  ScopeWalk walk({.gateway = "edge1"});
  EXPECT_TRUE(walk.FallBack());
  EXPECT_FALSE(walk.Next()->post);
  EXPECT_FALSE(walk.FallBack());
  ScopeWalk begun({.gateway = "edge1"});
  ASSERT_TRUE(begun.OnPage(Page({}, "x")).ok());
  EXPECT_FALSE(begun.FallBack());
}

// P12
TEST(ScopeWalkTest, EndsWhateverTheHubSays) {
  ScopeWalk same({.gateway = "edge1"});
  ASSERT_TRUE(same.OnPage(Page({}, "x")).ok());
  EXPECT_THAT(same.OnPage(Page({}, "x")).message(), HasSubstr("same page"));

  ScopeWalk endless({.gateway = "edge1"});
  absl::Status status;
  for (uint32_t i = 0; i <= kScopePagesMax && status.ok(); ++i) status = endless.OnPage(Page({}, std::to_string(i)));
  EXPECT_FALSE(status.ok());

  // Gateways that claim each other, and a tower of them.
  ScopeWalk circle({.gateway = "edge1"});
  ASSERT_TRUE(circle.OnPage(Page({Gateway("edge2")})).ok());
  ASSERT_TRUE(circle.OnPage(Page({Gateway("edge1"), Gateway("edge2")})).ok());
  EXPECT_EQ(circle.Next(), std::nullopt);
  ScopeWalk tower({.gateway = "e"});
  int calls = 0;
  for (; tower.Next(); ++calls) ASSERT_TRUE(tower.OnPage(Page({Gateway("e" + std::to_string(calls))})).ok());
  EXPECT_EQ(calls, 1 + kScopeDepthMax);
}

// The token must not go elsewhere.
TEST(ScopeWalkTest, LinkToAnotherHostIsAnError) {
  for (const char* link : {"https://evil.example/x", "//evil.example/x", "evil", "@evil"}) {
    ScopeWalk walk({.gateway = "edge1", .api = ScopeApi::kFlat});
    EXPECT_FALSE(walk.OnPage(Page({}, link)).ok()) << link;
  }
}

TEST(ScopeWalkTest, SingleIdentity) {
  const ScopeOptions nested{.gateway = "edge1"};
  auto call = SingleCall(nested, {"dev", "mod"}, "");
  EXPECT_EQ(call.path, "/devices/edge1/modules/$edgeHub/getDeviceAndModuleOnBehalfOf?api-version=2020-06-30-preview");
  EXPECT_EQ(json::parse(call.body),
            (json{{"targetDeviceId", "dev"}, {"targetModuleId", "mod"}, {"authChain", "dev/mod;dev;edge1"}}));
  call = SingleCall(nested, {"dev", ""}, "edge2");
  EXPECT_EQ(json::parse(call.body), (json{{"targetDeviceId", "dev"}, {"authChain", "dev;edge2;edge1"}}));
  const ScopeOptions flat{.gateway = "edge1", .api = ScopeApi::kFlat};
  call = SingleCall(flat, {"d#v", "m"}, "");
  EXPECT_EQ(call.path,
            "/devices/edge1/modules/$edgeHub/deviceAndModuleInDeviceScope?targetDeviceId=d%23v&targetModuleId=m"
            "&api-version=2018-08-30-preview");
}

}  // namespace
}  // namespace holdfast::uplink
