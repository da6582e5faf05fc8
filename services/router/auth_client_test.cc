#include "services/router/auth_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::router {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

auth::v1::Identity Of(const std::string& device, const std::string& module, uint64_t version, bool enabled = true) {
  auth::v1::Identity identity;
  identity.set_device_id(device);
  identity.set_module_id(module);
  identity.set_version(version);
  identity.set_enabled(enabled);
  return identity;
}

auth::v1::WatchIdentitiesResponse Changed(std::initializer_list<auth::v1::Identity> identities) {
  auth::v1::WatchIdentitiesResponse response;
  for (const auto& identity : identities) *response.add_changed() = identity;
  return response;
}

std::vector<std::string> Names(const std::vector<IdentityChanges::Drop>& drops) {
  std::vector<std::string> names;
  for (const auto& drop : drops) names.push_back(drop.identity.ClientId() + ": " + std::string(drop.reason));
  return names;
}

TEST(IdentityChangesTest, TheFirstListDropsOnlyTheDisabled) {
  IdentityChanges changes;
  EXPECT_THAT(Names(changes.Take(Changed({Of("a", "", 1), Of("b", "", 1, false)}), true)),
              ElementsAre("b: identity disabled"));
}

// P11: removed, disabled, or with another key: out.
TEST(IdentityChangesTest, RemovedDisabledAndChangedAreDropped) {
  IdentityChanges changes;
  changes.Take(Changed({Of("a", "", 1), Of("b", "", 1), Of("c", "m", 1)}), true);
  EXPECT_THAT(Names(changes.Take(Changed({Of("a", "", 2)}), false)), ElementsAre("a: identity changed"));
  EXPECT_THAT(Names(changes.Take(Changed({Of("a", "", 2)}), false)), IsEmpty());
  EXPECT_THAT(Names(changes.Take(Changed({Of("new", "", 1)}), false)), IsEmpty());
  EXPECT_THAT(Names(changes.Take(Changed({Of("b", "", 2, false)}), false)), ElementsAre("b: identity disabled"));
  auth::v1::WatchIdentitiesResponse removed;
  *removed.add_removed() = Of("c", "m", 1);
  const auto drops = changes.Take(removed, false);
  EXPECT_THAT(Names(drops), ElementsAre("c/m: identity removed"));
  EXPECT_FALSE(drops[0].with_modules);
}

TEST(IdentityChangesTest, WhatHappenedWhileTheWatchWasDownIsSeenInTheNextFirstList) {
  IdentityChanges changes;
  changes.Take(Changed({Of("a", "", 1), Of("b", "", 1), Of("c", "", 1)}), true);
  EXPECT_THAT(Names(changes.Take(Changed({Of("a", "", 1), Of("b", "", 2)}), true)),
              ElementsAre("b: identity changed", "c: identity removed"));
}

}  // namespace
}  // namespace holdfast::router
