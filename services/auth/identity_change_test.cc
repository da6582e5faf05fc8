#include "services/auth/identity_change.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace holdfast::auth {
namespace {

Identity Device(const std::string& id, char key = 'k') {
  return {.device_id = id, .primary_key = std::string(32, key)};
}
Identity Module(const std::string& device, const std::string& id) {
  return {.device_id = device, .module_id = id, .primary_key = std::string(32, 'm')};
}
IdentityMap Map(const std::vector<Identity>& identities) {
  IdentityMap map;
  for (const Identity& identity : identities) map[FullId(identity)] = identity;
  return map;
}
using Kind = IdentityChange::Kind;

TEST(IdentityChangeTest, SnapshotIsEverybody) {
  IdentityChange change(Kind::kSnapshot);
  ASSERT_TRUE(change.Put(Map({Device("a"), Device("b")})).ok());
  ASSERT_TRUE(change.Put(Map({Device("b", 'n')})).ok());
  const auto after = *change.ApplyTo(Map({Device("old")}));
  EXPECT_EQ(after.size(), 2u);
  EXPECT_EQ(after.at("b").primary_key[0], 'n') << "the later page counts";
  EXPECT_FALSE(change.Remove("a", "").ok());
  EXPECT_FALSE(change.Unresolved("a", "").ok());
  EXPECT_TRUE(change.Answers("anybody"));
}

TEST(IdentityChangeTest, RemovedDeviceTakesItsModulesAlongAndNoOthers) {
  IdentityChange change(Kind::kDelta);
  ASSERT_TRUE(change.Remove("a", "").ok());
  ASSERT_TRUE(change.Remove("c", "m1").ok());
  ASSERT_TRUE(change.Remove("unknown", "").ok());
  const auto after = *change.ApplyTo(Map({Device("a"), Module("a", "m1"), Module("a", "m2"), Device("a-b"),
                                          Module("a-b", "m"), Device("c"), Module("c", "m1"), Module("c", "m2")}));
  EXPECT_EQ(after.size(), 4u);
  EXPECT_TRUE(after.contains("a-b/m"));
  EXPECT_TRUE(after.contains("c/m2"));
  EXPECT_TRUE(change.Answers("a/m1"));
  EXPECT_TRUE(change.Answers("c/m1"));
  EXPECT_FALSE(change.Answers("c"));
}

TEST(IdentityChangeTest, OfTwoPartsTheLaterOneCounts) {
  IdentityChange change(Kind::kDelta);
  ASSERT_TRUE(change.Put(Map({Device("a"), Module("a", "m")})).ok());
  ASSERT_TRUE(change.Remove("a", "").ok());
  ASSERT_TRUE(change.Remove("b", "").ok());
  ASSERT_TRUE(change.Put(Map({Device("b", 'n')})).ok());
  const auto after = *change.ApplyTo(Map({Device("a"), Device("b"), Module("b", "old")}));
  EXPECT_FALSE(after.contains("a"));
  EXPECT_FALSE(after.contains("a/m"));
  EXPECT_EQ(after.at("b").primary_key[0], 'n');
  EXPECT_FALSE(after.contains("b/old")) << "it was removed with its device";
}

TEST(IdentityChangeTest, LimitHoldsOverAllPartsAndWithWhatIsThere) {
  IdentityMap half, other;
  for (size_t i = 0; i <= kIdentitiesMax / 2; ++i) {
    half.emplace(fmt::format("a{}", i), Device(fmt::format("a{}", i)));
    other.emplace(fmt::format("b{}", i), Device(fmt::format("b{}", i)));
  }
  IdentityChange snapshot(Kind::kSnapshot);
  ASSERT_TRUE(snapshot.Put(half).ok());
  EXPECT_EQ(snapshot.Put(other).code(), absl::StatusCode::kResourceExhausted);
  IdentityChange delta(Kind::kDelta);
  ASSERT_TRUE(delta.Put(half).ok());
  EXPECT_EQ(delta.ApplyTo(other).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(IdentityChangeTest, CountsWhatDiffers) {
  const ChangeCounts counts = Count(Map({Device("a"), Device("b"), Device("c"), Device("d")}),
                                    Map({Device("b"), Device("c", 'n'), Device("e"), Device("f"), Device("g")}));
  EXPECT_EQ(counts.added, 3u);
  EXPECT_EQ(counts.changed, 1u);
  EXPECT_EQ(counts.removed, 2u);
  EXPECT_EQ(counts.unchanged, 1u);
}

}  // namespace
}  // namespace holdfast::auth
