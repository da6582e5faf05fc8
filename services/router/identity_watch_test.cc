#include "services/router/identity_watch.h"

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

// P11: a grant that auth gave before a change does not hold once the change is known.
TEST(IdentityChangesTest, AGrantOlderThanWhatIsKnownDoesNotHold) {
  IdentityChanges changes;
  const Identity device{"a", ""}, module{"a", "m"}, other{"b", ""};
  EXPECT_TRUE(changes.Holds(device, {}, 3)) << "nothing is known";
  changes.Take(Changed({Of("a", "", 3), Of("a", "m", 4)}), true);
  EXPECT_TRUE(changes.Holds(device, {}, 3));
  EXPECT_FALSE(changes.Holds(device, {}, 2));
  EXPECT_TRUE(changes.Holds(device, {}, 4)) << "auth is ahead of its watch";
  EXPECT_TRUE(changes.Holds(module, {}, 4));
  EXPECT_TRUE(changes.Holds(other, {}, 1)) << "added, and not told yet";
  EXPECT_TRUE(changes.Holds(device, {}, 0)) << "auth names no version";

  changes.Take(Changed({Of("a", "", 7)}), false);
  EXPECT_FALSE(changes.Holds(module, {}, 4)) << "its device changed";
  EXPECT_TRUE(changes.Holds(module, {}, 7));
  changes.Take(Changed({Of("a", "m", 8, false)}), false);
  EXPECT_FALSE(changes.Holds(module, {}, 7));
  EXPECT_FALSE(changes.Holds(module, {}, 8)) << "disabled";
}

TEST(IdentityChangesTest, AGrantFromBeforeARemovalDoesNotHoldAndOneFromAfterItDoes) {
  IdentityChanges changes;
  const Identity a{"a", ""}, b{"b", ""}, b_module{"b", "m"};
  changes.Take(Changed({Of("a", "", 3), Of("b", "", 3)}), true);
  auth::v1::WatchIdentitiesResponse removed;
  *removed.add_removed() = Of("a", "", 3);
  const auto drops = changes.Take(removed, false);
  ASSERT_EQ(drops.size(), 1u);
  EXPECT_EQ(drops[0].holds_from, 4u);
  EXPECT_FALSE(changes.Holds(a, {}, 3));
  EXPECT_TRUE(changes.Holds(a, {}, 5)) << "added again, and not told yet";
  changes.Take(Changed({Of("a", "", 5)}), true);
  EXPECT_TRUE(changes.Holds(a, {}, 5));
  EXPECT_FALSE(changes.Holds(b, {}, 3)) << "gone from the list";
  EXPECT_FALSE(changes.Holds(b_module, {}, 3)) << "its device is gone";
}

TEST(IdentityChangesTest, RemovedIdentitiesAreRememberedUpToALimit) {
  IdentityChanges changes;
  const auto remove = [&](size_t i) {
    auth::v1::WatchIdentitiesResponse removed;
    *removed.add_removed() = Of("dev" + std::to_string(i), "", 3);
    changes.Take(removed, false);
  };
  for (size_t i = 0; i <= kRemovedIdentitiesMax; ++i) remove(i);
  EXPECT_TRUE(changes.Holds({"dev0", ""}, {}, 3)) << "forgotten";
  EXPECT_FALSE(changes.Holds({"dev1", ""}, {}, 3));
}

// P11: a grant that a child gateway spoke for rests on all links of its chain.
TEST(IdentityChangesTest, GrantOnBehalfHoldsAsLongAsAllItsLinksDo) {
  IdentityChanges changes;
  const Identity leaf{"leaf", ""};
  const std::vector<Identity> links = {{"child", ""}, {"top", ""}, {"top", "$edgeHub"}};
  changes.Take(Changed({Of("leaf", "", 1), Of("child", "", 2), Of("top", "", 3), Of("top", "$edgeHub", 4)}), true);
  EXPECT_TRUE(changes.Holds(leaf, links, 4));
  EXPECT_FALSE(changes.Holds(leaf, links, 3)) << "the module that spoke has changed since";
  const auto drops = changes.Take(Changed({Of("child", "", 5, false)}), false);
  EXPECT_FALSE(changes.Holds(leaf, links, 4));
  EXPECT_TRUE(changes.Holds(leaf, {}, 4)) << "not its own";
  ASSERT_EQ(drops.size(), 1u);
  EXPECT_TRUE(drops[0].Means(links[0]));
  EXPECT_TRUE(drops[0].Means({"child", "mod"}));
  EXPECT_FALSE(drops[0].Means(leaf));
  EXPECT_FALSE(drops[0].Means(links[2]));
}

}  // namespace
}  // namespace holdfast::router
