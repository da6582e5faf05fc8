#include "tests/hubsim/scope_api.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "lib/testing/manual_clock.h"
#include "tests/hubsim/registry_json.h"
#include "tests/system/sas.h"

namespace holdfast::hubsim {
namespace {

using nlohmann::json;

constexpr char kList[] = "devicesAndModulesInDeviceScope";
constexpr char kSingle[] = "deviceAndModuleInDeviceScope";
constexpr char kListTarget[] = "devicesAndModulesInTargetDeviceScope";
constexpr char kOnBehalf[] = "getDeviceAndModuleOnBehalfOf";

class ScopeApiTest : public ::testing::Test {
 protected:
  ScopeApiTest() {
    EXPECT_TRUE(LoadRegistry(json::parse(R"({"devices":[
      {"deviceId":"edge","capabilities":{"iotEdge":true}},{"deviceId":"leaf","parent":"edge"},{"deviceId":"off","parent":"edge","status":"disabled"},
      {"deviceId":"child","capabilities":{"iotEdge":true},"parent":"edge"},{"deviceId":"grandchild","parent":"child"},
      {"deviceId":"free"}]})"),
                             absl::Now(), &state_.registry)
                    .ok());
    state_.authenticator = *Authenticator::Create({.hostname = "hub.test"}, state_.registry);
  }

  std::string Token(const std::string& device, const std::string& module) {
    const Module* m = state_.registry.FindModule(device, module);
    const auto& keys = m == nullptr ? state_.registry.FindDevice(device)->authentication : m->authentication;
    return systest::SasToken("hub.test", device, keys.primary_key, 600, module);
  }

  HttpResponse Ask(const char* what, std::map<std::string, std::string> query, const std::string& edge = "edge") {
    return AnswerScopeRequest({.method = "GET",
                               .path = "/devices/edge/modules/$edgeHub/x",
                               .parts = {"devices", edge, "modules", "$edgeHub", what},
                               .query = std::move(query),
                               .authorization = token_},
                              state_);
  }
  HttpResponse Post(const char* what, const json& body) {
    return AnswerScopeRequest({.method = "POST",
                               .path = "/devices/edge/modules/$edgeHub/x",
                               .parts = {"devices", "edge", "modules", "$edgeHub", what},
                               .authorization = token_,
                               .body = body.dump()},
                              state_);
  }

  HubState state_{.clock = *Clock::System(), .registry = Registry(100)};
  std::string token_;
};

TEST_F(ScopeApiTest, WantsTheTokenOfTheGatewaysEdgeHub) {
  EXPECT_EQ(Ask(kList, {}).status, 401);
  token_ = Token("edge", "");
  EXPECT_EQ(Ask(kList, {}).status, 401) << "the device's own";
  token_ = Token("child", "$edgeHub");
  EXPECT_EQ(Ask(kList, {}).status, 401) << "another gateway's";
  token_ = "nonsense";
  EXPECT_EQ(Ask(kList, {}).status, 401);
  token_ = Token("edge", "$edgeHub");
  EXPECT_EQ(Ask(kList, {}).status, 200);
  EXPECT_EQ(Ask(kList, {}, "ghost").status, 401);
  EXPECT_EQ(Ask("unknown", {}).status, 404);
  EXPECT_EQ(Ask(kListTarget, {}).status, 405);
}

TEST_F(ScopeApiTest, TheGetFormPagesByItsOwnLink) {
  token_ = Token("edge", "$edgeHub");
  EXPECT_EQ(Ask(kList, {{"deviceCount", "0"}}).status, 400);
  EXPECT_EQ(Ask(kList, {{"deviceCount", "x"}}).status, 400);
  EXPECT_EQ(Ask(kList, {{"continuationToken", "x"}}).status, 400);
  const json first = json::parse(Ask(kList, {{"deviceCount", "3"}, {"api-version", "2018-08-30-preview"}}).body);
  EXPECT_EQ(first.at("devices").size(), 3u);
  const std::string link = first.at("continuationLink");
  EXPECT_TRUE(link.starts_with("/devices/edge/modules/$edgeHub/x?deviceCount=3&api-version=2018-08-30-preview&"));
  const std::string token = link.substr(link.find("continuationToken=") + 18);
  const json second = json::parse(Ask(kList, {{"deviceCount", "3"}, {"continuationToken", token}}).body);
  EXPECT_EQ(second.at("devices").size(), 1u);
  EXPECT_TRUE(second.at("continuationLink").is_null());
}

TEST_F(ScopeApiTest, SingleIdentities) {
  token_ = Token("edge", "$edgeHub");
  EXPECT_EQ(Ask(kSingle, {{"targetDeviceId", "leaf"}}).status, 200);
  EXPECT_EQ(Ask(kSingle, {{"targetDeviceId", "edge"}, {"targetModuleId", "$edgeAgent"}}).status, 200);
  EXPECT_EQ(Ask(kSingle, {{"targetDeviceId", "ghost"}}).status, 404);
  EXPECT_EQ(Ask(kSingle, {{"targetDeviceId", "edge"}, {"targetModuleId", "ghost"}}).status, 404);
  EXPECT_EQ(Ask(kSingle, {{"targetDeviceId", "free"}}).status, 403);
  const auto of = [](const char* device, const char* chain) {
    return json{{"targetDeviceId", device}, {"targetModuleId", nullptr}, {"authChain", chain}};
  };
  EXPECT_EQ(Post(kOnBehalf, of("leaf", "leaf;edge")).status, 200);
  EXPECT_EQ(Post(kOnBehalf, of("grandchild", "grandchild;child;edge")).status, 200);
  EXPECT_EQ(Post(kOnBehalf, of("off", "off;edge")).status, 200) << "disabled: the caller is to learn it";
  EXPECT_EQ(Post(kOnBehalf, of("free", "free;edge")).status, 403);
  EXPECT_EQ(Post(kOnBehalf, of("grandchild", "grandchild;edge")).status, 403);
  EXPECT_EQ(Post(kOnBehalf, of("leaf", "leaf")).status, 403) << "does not end with the caller";
  EXPECT_EQ(Post(kOnBehalf, of("ghost", "ghost;edge")).status, 404);
  EXPECT_EQ(Post(kOnBehalf, of("leaf", "")).status, 400);
  EXPECT_EQ(Post(kOnBehalf, json::array()).status, 400);
  const json module = {
      {"targetDeviceId", "child"}, {"targetModuleId", "$edgeHub"}, {"authChain", "child/$edgeHub;child;edge"}};
  EXPECT_EQ(json::parse(Post(kOnBehalf, module).body).at("modules").size(), 1u);
}

TEST_F(ScopeApiTest, ThePostFormReadsTheTargetsScope) {
  token_ = Token("edge", "$edgeHub");
  const json own = json::parse(Post(kListTarget, {{"pageSize", 2}, {"authChain", "edge"}}).body);
  EXPECT_EQ(own.at("devices").size(), 2u);
  const json rest = json::parse(
      Post(kListTarget, {{"pageSize", 10}, {"authChain", "edge"}, {"continuationLink", own.at("continuationLink")}})
          .body);
  EXPECT_EQ(rest.at("devices").size(), 2u);
  const json below = json::parse(Post(kListTarget, {{"authChain", "child;edge"}}).body);
  ASSERT_EQ(below.at("devices").size(), 2u);
  EXPECT_EQ(below.at("devices")[1].at("deviceId"), "grandchild");
  EXPECT_EQ(Post(kListTarget, {{"authChain", "leaf;edge"}}).status, 400) << "no gateway";
  EXPECT_EQ(Post(kListTarget, {{"authChain", "grandchild;edge"}}).status, 403);
  EXPECT_EQ(Post(kListTarget, {{"authChain", "edge"}, {"pageSize", 0}}).status, 400);
  EXPECT_EQ(Post(kListTarget, {{"authChain", 5}}).status, 400);
}

TEST_F(ScopeApiTest, APageFailsOnCommand) {
  token_ = Token("edge", "$edgeHub");
  ASSERT_TRUE(state_.faults.Set({{"kind", "rest_page"}, {"page", 2}, {"code", 503}, {"times", 1}}).ok());
  const HttpResponse first = Ask(kList, {{"deviceCount", "2"}});
  ASSERT_EQ(first.status, 200);
  const std::string link = json::parse(first.body).at("continuationLink");
  const std::string token = link.substr(link.find("continuationToken=") + 18);
  EXPECT_EQ(Ask(kList, {{"deviceCount", "2"}, {"continuationToken", token}}).status, 503);
  EXPECT_EQ(Ask(kList, {{"deviceCount", "2"}, {"continuationToken", token}}).status, 200) << "once";
}

}  // namespace
}  // namespace holdfast::hubsim
