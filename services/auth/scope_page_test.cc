#include "services/auth/scope_page.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::auth {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kKey[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

std::string Sas(const std::string& key = kKey) {
  return fmt::format(R"({{"type":"sas","symmetricKey":{{"primaryKey":"{}","secondaryKey":"{}"}}}})", key, key);
}
std::string Device(const std::string& id, const std::string& more) {
  return fmt::format(R"({{"deviceId":"{}","generationId":"7","status":"enabled",{}}})", id, more);
}
std::string Page(const std::string& devices, const std::string& modules = "") {
  return fmt::format(R"({{"devices":[{}],"modules":[{}],"continuationLink":null}})", devices, modules);
}

TEST(ScopePageTest, EveryKindOfIdentityIsRead) {
  const auto page = ParseScopePage(Page(
      R"({"deviceId":"gw","generationId":"637","etag":"x","status":"Enabled","authentication":)" + Sas() +
          R"(,"capabilities":{"iotEdge":true},"deviceScope":"ms-azure-iot-edge://gw-637",)"
          R"("parentScopes":["ms-azure-iot-edge://edge1-1"],"somethingNew":{"a":[1]}},)" +
          Device("self", R"("authentication":{"type":"selfSigned","symmetricKey":null,"x509Thumbprint":)"
                         R"({"primaryThumbprint":"92:1B:C9694ADEB8929D4F7FE4B9A3A6DE58B0790B",)"
                         R"("secondaryThumbprint":null}})") +
          "," + Device("ca", R"("authentication":{"type":"certificateAuthority"},"capabilities":null)") + "," +
          Device("new", R"("authentication":{"type":"quantum"})") + "," + Device("bare", R"("authentication":null)") +
          R"(,{"deviceId":"off","status":"disabled","authentication":)" + Sas() + "}",
      R"({"moduleId":"$edgeHub","deviceId":"gw","generationId":"8","managedBy":"iotEdge","authentication":)" + Sas() +
          "}"));
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->size(), 7u);
  const Identity& gw = page->at("gw");
  EXPECT_TRUE(gw.enabled);
  EXPECT_EQ(gw.credential, Credential::kSas);
  EXPECT_EQ(gw.primary_key.size(), 32u);
  EXPECT_EQ(gw.secondary_key.size(), 32u);
  EXPECT_EQ(gw.generation_id, "637");
  EXPECT_TRUE(gw.is_gateway);
  EXPECT_EQ(gw.scope, "ms-azure-iot-edge://gw-637");
  EXPECT_EQ(gw.parent_scopes, std::vector<std::string>{"ms-azure-iot-edge://edge1-1"});
  EXPECT_EQ(page->at("self").credential, Credential::kSelfSigned);
  EXPECT_EQ(page->at("self").primary_thumbprint, "921bc9694adeb8929d4f7fe4b9a3a6de58b0790b");
  EXPECT_EQ(page->at("self").secondary_thumbprint, "");
  EXPECT_EQ(page->at("ca").credential, Credential::kCaSigned);
  EXPECT_EQ(page->at("new").credential, Credential::kNone) << "lets nobody in, and hinders nobody else";
  EXPECT_EQ(page->at("bare").credential, Credential::kNone);
  EXPECT_FALSE(page->at("off").enabled);
  EXPECT_EQ(page->at("gw/$edgeHub").module_id, "$edgeHub");
  EXPECT_TRUE(page->at("gw/$edgeHub").enabled);
}

TEST(ScopePageTest, NullListsAreEmpty) {
  const auto page = ParseScopePage(R"({"devices":null,"modules":null,"continuationLink":"/next"})");
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_TRUE(page->empty());
}

// Taken for an empty page, each of these would remove everybody.
TEST(ScopePageTest, WhatIsNoPageIsNotAnEmptyOne) {
  for (const char* text : {"", "null", "[]", "{}", R"({"Message":"ErrorCode:IotHubNotFound"})", R"({"devices":[]})",
                           R"({"modules":[]})", R"({"devices":{},"modules":[]})", R"({"devices":[],"modules":[]})x)"}) {
    EXPECT_EQ(ParseScopePage(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ScopePageTest, ErrorsNameTheIdentityAndNeverAKey) {
  const std::string bad_key = "SECRETSECRET!";
  const struct {
    std::string page, name;
  } kCases[] = {
      {Page(Device("dev1", R"("authentication":)" + Sas(bad_key))), "dev1"},
      {Page(Device("dev1", R"("authentication":)" + Sas("SECRET=="))), "dev1"},
      {Page("", R"({"moduleId":"m1","deviceId":"dev1","authentication":)" + Sas(bad_key) + "}"), "dev1/m1"},
      {Page(Device("dev1", R"("authentication":{"type":"sas","symmetricKey":{"primaryKey":7}})")), "dev1"},
      {Page(Device("dev1", R"("authentication":{"type":"sas","symmetricKey":"SECRET"})")), "dev1"},
      {Page(Device("dev1", R"("authentication":{"type":"selfSigned","x509Thumbprint":{"primaryThumbprint":"12"}})")),
       "dev1"},
      {Page(Device("dev1", R"("authentication":[])")), "dev1"},
      {Page(Device("dev1", R"("capabilities":{"iotEdge":"yes"})")), "dev1"},
      {Page(Device("dev1", R"("deviceScope":7)")), "dev1"},
      {Page(Device("dev1", R"("parentScopes":"x")")), "dev1"},
      {Page(Device("dev1", R"("parentScopes":[7])")), "dev1"},
      {Page(R"({"deviceId":"dev1","status":"perhaps"})"), "dev1"},
      {Page(R"({"deviceId":"dev1"})"), "dev1"},
      {Page(Device("a/b", R"("x":1)")), "a/b"},
      {Page(R"({"deviceId":"dev1","status":"enabled"},{"status":"enabled"})"), "device 1"},
      {Page(Device("dev1", R"("x":1)") + ",7"), "device 1"},
      {Page("", R"({"deviceId":"dev1"})"), "module 0"},
      {Page(Device("dev1", R"("x":1)") + "," + Device("dev1", R"("x":1)")), "dev1 is in the page twice"},
  };
  for (const auto& c : kCases) {
    const auto page = ParseScopePage(c.page);
    ASSERT_EQ(page.status().code(), absl::StatusCode::kInvalidArgument) << c.page;
    EXPECT_THAT(std::string(page.status().message()), HasSubstr(c.name)) << c.page;
    EXPECT_THAT(std::string(page.status().message()), Not(HasSubstr("SECRET"))) << c.page;
  }
}

TEST(ScopePageTest, DeepAndLargePagesAreRefused) {
  EXPECT_FALSE(ParseScopePage(std::string(kScopePageBytesMax + 1, ' ')).ok());
  EXPECT_FALSE(ParseScopePage(std::string(1 << 20, '[')).ok());
  std::string deep = R"({"devices":[],"modules":[],"x":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  EXPECT_TRUE(ParseScopePage(deep).ok());
}

}  // namespace
}  // namespace holdfast::auth
