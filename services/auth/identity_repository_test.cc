#include "services/auth/identity_repository.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/testing/temp_dir.h"
#include "services/auth/fake_key_value.h"

namespace holdfast::auth {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class IdentityRepositoryTest : public ::testing::Test {
 protected:
  IdentityMap Devices(int count, char key = 'k') {
    IdentityMap identities;
    for (int i = 0; i < count; ++i) {
      const std::string id = fmt::format("dev{}", i);
      identities[id] = {.device_id = id, .primary_key = std::string(32, key)};
    }
    return identities;
  }
  std::shared_ptr<const IdentitySet> Replace(IdentityMap identities, const IdentitySet* current) {
    auto set = repository_.Replace(sealing_, std::move(identities), "hash", now_, current);
    EXPECT_TRUE(set.ok()) << set.status();
    return set.ok() ? *set : nullptr;
  }
  size_t RecordsInStore() {
    size_t count = 0;
    for (const auto& [key, value] : kv_.Content()) count += key.starts_with("auth/identity/");
    return count;
  }

  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  TempDir dir_;
  FakeKeyValue kv_;
  std::unique_ptr<rpc::Server> server_ = *rpc::Server::Create({.run_dir = dir_.path(), .service = "store"}, {&kv_});
  rpc::Channels channels_{dir_.path(), "store"};
  IdentityRepository repository_{channels_};
  const Sealing sealing_ = *Sealing::Create({std::string(32, 's')});
};

TEST_F(IdentityRepositoryTest, LoadsWhatWasSaved) {
  EXPECT_EQ(repository_.Load(sealing_).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(*repository_.HasSealedRecords());
  IdentityMap identities = Devices(3);
  identities["dev1"].enabled = false;
  identities["dev1"].secondary_key = std::string(64, '\xff');
  identities["dev1/mod"] = {.device_id = "dev1", .module_id = "mod"};
  Replace(identities, nullptr);
  const auto set = repository_.Load(sealing_);
  ASSERT_TRUE(set.ok()) << set.status();
  ASSERT_EQ((*set)->identities.size(), 4u);
  for (const auto& [id, identity] : identities) EXPECT_TRUE(identity.SameContent((*set)->identities.at(id))) << id;
  EXPECT_EQ((*set)->about.synced_at, now_);
  EXPECT_EQ((*set)->about.source_hash, "hash");
  EXPECT_TRUE(*repository_.HasSealedRecords());
}

TEST_F(IdentityRepositoryTest, SmallSetIsOneWrite) {
  Replace(Devices(100), nullptr);
  EXPECT_EQ(kv_.writes(), 1);
}

// P6
TEST_F(IdentityRepositoryTest, StoreHoldsNoKeyInClear) {
  Replace(Devices(3, 'K'), nullptr);
  for (const auto& [key, value] : kv_.Content()) {
    EXPECT_THAT(value, Not(HasSubstr("KKKK"))) << key;
    EXPECT_THAT(value, Not(HasSubstr("S0tLS0tL"))) << key;  // its base64
  }
}

TEST_F(IdentityRepositoryTest, LargeSetIsReplacedWholeAndTheOldOneIsRemoved) {
  auto first = Replace(Devices(2500), nullptr);
  auto second = Replace(Devices(1200, 'x'), first.get());
  EXPECT_EQ((*repository_.Load(sealing_))->identities.size(), 1200u);
  EXPECT_EQ(RecordsInStore(), 1200u);
}

TEST_F(IdentityRepositoryTest, StoreThatGoesAwayInTheMiddleLeavesTheOldSetInForce) {
  auto first = Replace(Devices(10), nullptr);
  kv_.FailWritesAfter(1);
  EXPECT_EQ(repository_.Replace(sealing_, Devices(2000, 'x'), "new", now_, first.get()).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ((*repository_.Load(sealing_))->identities.size(), 10u);
  kv_.FailWritesAfter(-1);
  auto second = Replace(Devices(2000, 'x'), first.get());
  auto third = Replace(Devices(5), second.get());
  EXPECT_EQ(RecordsInStore(), 5u) << "what the broken attempt left is cleaned up";
}

TEST_F(IdentityRepositoryTest, OfTwoThatReplaceTheSameSetOneWins) {
  auto first = Replace(Devices(3), nullptr);
  Replace(Devices(4), first.get());
  EXPECT_EQ(repository_.Replace(sealing_, Devices(5), "h", now_, first.get()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ((*repository_.Load(sealing_))->identities.size(), 4u);
}

TEST_F(IdentityRepositoryTest, VersionChangesWithAnythingOfTheIdentityAndOnlyThen) {
  auto first = Replace(Devices(2), nullptr);
  IdentityMap changed = Devices(2);
  changed["dev0"].primary_key = std::string(32, 'n');
  auto second = Replace(changed, first.get());
  EXPECT_NE(second->identities.at("dev0").version, first->identities.at("dev0").version);
  EXPECT_EQ(second->identities.at("dev1").version, first->identities.at("dev1").version);
  EXPECT_EQ((*repository_.Load(sealing_))->identities.at("dev1").version, second->identities.at("dev1").version);
}

// P9
TEST_F(IdentityRepositoryTest, DamagedMissingAndMovedRecordsAreLeftOutAndCounted) {
  Replace(Devices(5), nullptr);
  std::vector<std::string> keys;
  for (const auto& [key, value] : kv_.Content()) {
    if (key.starts_with("auth/identity/")) keys.push_back(key);
  }
  kv_.Set(keys[0], "damaged");
  kv_.Erase(keys[1]);
  kv_.Set(keys[2], kv_.Content()[keys[3]]);  // dev3's key under dev2's name
  const auto set = repository_.Load(sealing_);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ((*set)->damaged, 3u);
  EXPECT_TRUE((*set)->identities.contains("dev3"));
  EXPECT_TRUE((*set)->identities.contains("dev4"));
  EXPECT_FALSE((*set)->identities.contains("dev2"));
}

TEST_F(IdentityRepositoryTest, AnotherKeySaysWhatToDoAndChangesNothing) {
  Replace(Devices(5), nullptr);
  const auto before = kv_.Content();
  const absl::Status status = repository_.Load(*Sealing::Create({std::string(32, 'o')})).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("restore the sealing key"));
  EXPECT_EQ(kv_.Content(), before);
}

TEST_F(IdentityRepositoryTest, MarksOfTheClockAreKept) {
  EXPECT_EQ(repository_.LoadMarks(sealing_).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(repository_.SaveMarks(sealing_, {.plausible = now_}).ok());
  EXPECT_EQ(repository_.LoadMarks(sealing_)->plausible, now_);
  EXPECT_EQ(repository_.LoadMarks(sealing_)->synchronized, absl::InfinitePast());
}

}  // namespace
}  // namespace holdfast::auth
