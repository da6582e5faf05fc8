#include "tests/hubsim/registry_json.h"

#include <gtest/gtest.h>

namespace holdfast::hubsim {
namespace {

using nlohmann::json;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

absl::StatusOr<IdentityEdit> Edit(const char* text) {
  return EditFromJson(json::parse(text), nullptr);
}

TEST(RegistryJsonTest, LoadsWhatItSaves) {
  const json file = json::parse(R"({"devices":[
    {"deviceId":"leaf","parent":"edge","status":"disabled","statusReason":"broken"},
    {"deviceId":"edge","capabilities":{"iotEdge":true},"modules":[{"moduleId":"$edgeHub","managedBy":"me"},{"moduleId":"m"}]},
    {"deviceId":"x","authentication":{"type":"selfSigned","x509Thumbprint":{"primaryThumbprint":
      "0123456789012345678901234567890123456789"}}}]})");
  Registry first(10);
  ASSERT_TRUE(LoadRegistry(file, kNow, &first).ok());
  EXPECT_EQ(first.FindDevice("leaf")->parent, "edge") << "a child may stand before its parent";
  EXPECT_FALSE(first.FindDevice("leaf")->enabled);
  EXPECT_EQ(first.FindModule("edge", "$edgeHub")->managed_by, "me");
  EXPECT_EQ(first.FindDevice("edge")->modules.size(), 3u);
  const json saved = SaveRegistry(first);
  Registry second(10);
  ASSERT_TRUE(LoadRegistry(saved, kNow, &second).ok());
  EXPECT_EQ(SaveRegistry(second), saved);
}

TEST(RegistryJsonTest, RefusesADamagedFileByName) {
  for (const char* text :
       {"[]", "{}", R"({"devices":{}})", R"({"devices":[{}]})", R"({"devices":[{"deviceId":7}]})",
        R"({"devices":[{"deviceId":"a"},{"deviceId":"a"}]})", R"({"devices":[{"deviceId":"a","parent":"none"}]})",
        R"({"devices":[{"deviceId":"a","modules":{}}]})", R"({"devices":[{"deviceId":"a","modules":[{}]}]})",
        R"({"devices":[{"deviceId":"a","status":"maybe"}]})", R"({"devices":[17]})"}) {
    Registry registry(10);
    EXPECT_FALSE(LoadRegistry(json::parse(text), kNow, &registry).ok()) << text;
  }
}

TEST(RegistryJsonTest, UnderstandsParentsInEveryForm) {
  EXPECT_EQ(Edit(R"({"parent":"edge"})")->parent, "edge");
  EXPECT_EQ(Edit(R"({"deviceScope":"s"})")->parent_scope, "s");
  EXPECT_EQ(Edit(R"({"parentScopes":["s"]})")->parent_scope, "s");
  EXPECT_EQ(Edit(R"({"parentScopes":["s"],"deviceScope":"s"})")->parent_scope, "s");
  EXPECT_EQ(Edit(R"({"parentScopes":[]})")->parent_scope, "") << "no parent";
  EXPECT_EQ(Edit(R"({})")->parent_scope, std::nullopt) << "nothing said";
  EXPECT_EQ(Edit(R"({"capabilities":{"iotEdge":true},"deviceScope":"own"})")->parent_scope, std::nullopt)
      << "a gateway's deviceScope is its own";
  EXPECT_FALSE(Edit(R"({"parentScopes":["s","t"]})").ok()) << "two parents";
  EXPECT_FALSE(Edit(R"({"parentScopes":["s"],"deviceScope":"t"})").ok());
  EXPECT_FALSE(Edit(R"({"parentScopes":"s"})").ok());
}

TEST(RegistryJsonTest, RefusesFieldsOfTheWrongType) {
  for (const char* text : {"[]", R"({"status":1})", R"({"capabilities":[]})", R"({"capabilities":{"iotEdge":1}})",
                           R"({"authentication":1})", R"({"authentication":{"type":"magic"}})",
                           R"({"authentication":{"symmetricKey":{"primaryKey":5}}})", R"({"managedBy":[]})"}) {
    EXPECT_FALSE(Edit(text).ok()) << text;
  }
}

TEST(RegistryJsonTest, ShowsTheScopesOfTheContract) {
  Registry registry(10);
  ASSERT_TRUE(LoadRegistry(json::parse(R"({"devices":[
    {"deviceId":"top","capabilities":{"iotEdge":true}},
    {"deviceId":"mid","capabilities":{"iotEdge":true},"parent":"top"},
    {"deviceId":"leaf","parent":"mid"},{"deviceId":"free"}]})"),
                           kNow, &registry)
                  .ok());
  const std::string top = registry.FindDevice("top")->OwnScope();
  const std::string mid = registry.FindDevice("mid")->OwnScope();
  EXPECT_TRUE(mid.starts_with("ms-azure-iot-edge://mid-"));
  const json gateway = ScopeDeviceJson(*registry.FindDevice("mid"), registry);
  EXPECT_EQ(gateway.at("deviceScope"), mid);
  EXPECT_EQ(gateway.at("parentScopes"), json::array({top}));
  const json leaf = ScopeDeviceJson(*registry.FindDevice("leaf"), registry);
  EXPECT_EQ(leaf.at("deviceScope"), mid);
  EXPECT_EQ(leaf.at("parentScopes"), json::array({mid}));
  EXPECT_FALSE(ScopeDeviceJson(*registry.FindDevice("free"), registry).contains("deviceScope"));
}

}  // namespace
}  // namespace holdfast::hubsim
