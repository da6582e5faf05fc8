#include "services/auth/child_scope.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/auth/scope_page.h"

namespace holdfast::auth {
namespace {

using ::testing::ElementsAre;

constexpr char kScope[] = "ms-azure-iot-edge://gw-1";

IdentityMap Make(std::initializer_list<std::string_view> devices) {
  IdentityMap identities;
  identities["gw"] = {.device_id = "gw", .generation_id = "1", .is_gateway = true, .scope = kScope};
  for (const std::string_view id : devices) {
    identities[std::string(id)] = {.device_id = std::string(id), .scope = kScope, .parent_scopes = {kScope}};
  }
  return identities;
}

std::vector<std::string> Names(const ScopeSelection& selection) {
  std::vector<std::string> names;
  for (const Identity* identity : selection.identities) names.push_back(FullId(*identity));
  return names;
}

TEST(ChildScopeTest, GatewayItsChildrenAndAllTheirModules) {
  IdentityMap identities = Make({"dev", "dev-1"});
  for (const char* device : {"gw", "dev", "foreign"}) {
    identities[fmt::format("{}/m", device)] = {.device_id = device, .module_id = "m"};
  }
  identities["foreign"] = {.device_id = "foreign", .scope = "ms-azure-iot-edge://other-1"};
  const auto all = SelectChildren(identities, identities["gw"], 10, "");
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_THAT(Names(*all), ElementsAre("dev", "dev/m", "dev-1", "gw", "gw/m"));
  EXPECT_EQ(all->continuation, "");
}

TEST(ChildScopeTest, PagesHoldEveryDeviceOnceWhateverIsEditedBetween) {
  IdentityMap identities = Make({"a", "b", "c", "d"});
  const auto first = SelectChildren(identities, identities["gw"], 2, "");
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(Names(*first), ElementsAre("a", "b"));
  identities.erase("b");  // the one that the continuation names
  identities["aa"] = identities["a"];
  const auto second = SelectChildren(identities, identities["gw"], 2, first->continuation);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_THAT(Names(*second), ElementsAre("c", "d"));
  const auto third = SelectChildren(identities, identities["gw"], 2, second->continuation);
  EXPECT_THAT(Names(*third), ElementsAre("gw"));
  EXPECT_EQ(third->continuation, "");
}

TEST(ChildScopeTest, ForeignContinuationIsRefused) {
  const IdentityMap identities = Make({});
  for (const char* continuation : {"x", "!!", "cGFnZToxOmE", "YWZ0ZXI6"}) {
    EXPECT_EQ(SelectChildren(identities, identities.at("gw"), 2, continuation).status().code(),
              absl::StatusCode::kInvalidArgument)
        << continuation;
  }
}

// P12: a page is cut by its size too, and one device that is more than a page has a defined answer.
TEST(ChildScopeTest, BytesOfAPageAreBounded) {
  IdentityMap identities = Make({"a", "b"});
  for (const char* device : {"a", "b"}) {
    for (int i = 0; i < 3500; ++i) {
      const std::string module = fmt::format("m{}", i);
      identities[FullId(device, module)] = {.device_id = device, .module_id = module};
    }
  }
  const auto first = SelectChildren(identities, identities["gw"], 1000, "");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->identities.size(), 3501u);
  EXPECT_LT(WriteScopePage(first->identities, "").size(), kScopePageTextBytes);
  for (int i = 3500; i < 7000; ++i) {
    const std::string module = fmt::format("m{}", i);
    identities[FullId("b", module)] = {.device_id = "b", .module_id = module};
  }
  EXPECT_EQ(SelectChildren(identities, identities["gw"], 1000, first->continuation).status().code(),
            absl::StatusCode::kResourceExhausted);
}

// What a gateway reads is what its parent knows, but for the version, which each counts for itself.
TEST(ChildScopeTest, WrittenPageIsReadTheSame) {
  IdentityMap identities = Make({"sas", "empty", "a%b+?'"});
  identities["sas"].primary_key = std::string(32, '\x01');
  identities["sas"].secondary_key = std::string(64, '\xff');
  identities["sas"].enabled = false;
  identities["self"] = {.device_id = "self",
                        .credential = Credential::kSelfSigned,
                        .primary_thumbprint = std::string(40, 'a'),
                        .scope = kScope,
                        .parent_scopes = {kScope}};
  identities["ca"] = {.device_id = "ca", .credential = Credential::kCaSigned, .scope = kScope};
  identities["none"] = {.device_id = "none", .credential = Credential::kNone, .scope = kScope};
  identities["sas/mod"] = {
      .device_id = "sas", .module_id = "mod", .primary_key = std::string(16, 'k'), .generation_id = "6\"7"};
  const auto selection = SelectChildren(identities, identities["gw"], 100, "");
  const auto read = ParseScopePage(WriteScopePage(selection->identities, "next"));
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), identities.size());
  for (const auto& [id, identity] : identities) EXPECT_TRUE(read->at(id).SameContent(identity)) << id;
  EXPECT_TRUE(ParseScopePage(WriteScopePage({}, "")).ok());
}

}  // namespace
}  // namespace holdfast::auth
