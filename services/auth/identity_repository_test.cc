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
    auto set = repository_.Replace(sealing_, std::move(identities), Origin("hash"), current);
    EXPECT_TRUE(set.ok()) << set.status();
    return set.ok() ? *set : nullptr;
  }
  SetOrigin Origin(const std::string& hash) const {
    return {.source = kFileSource, .source_hash = hash, .synced_at = now_};
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
  EXPECT_EQ(repository_.Replace(sealing_, Devices(2000, 'x'), Origin("new"), first.get()).status().code(),
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
  EXPECT_EQ(repository_.Replace(sealing_, Devices(5), Origin("h"), first.get()).status().code(),
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

TEST_F(IdentityRepositoryTest, SmallChangeOfALargeSetIsOneAtomicWriteAndVersionsOnlyGrow) {
  auto first = Replace(Devices(3000), nullptr);
  const int writes = kv_.writes();
  IdentityMap changed = Devices(3000);
  changed.erase("dev7");
  changed["dev8"].enabled = false;
  changed["new"] = {.device_id = "new", .primary_key = std::string(32, 'n')};
  auto second = Replace(changed, first.get());
  EXPECT_EQ(kv_.writes(), writes + 1);
  const auto loaded = *repository_.Load(sealing_);
  EXPECT_EQ(loaded->damaged, 0u);
  EXPECT_EQ(loaded->identities.size(), 3000u);
  EXPECT_FALSE(loaded->identities.contains("dev7"));
  EXPECT_FALSE(loaded->identities.at("dev8").enabled);
  EXPECT_GT(loaded->identities.at("dev8").version, first->identities.at("dev8").version);
  EXPECT_EQ(loaded->identities.at("dev9").version, first->identities.at("dev9").version);
  auto third = Replace(Devices(3000), second.get());
  EXPECT_GT(third->identities.at("dev7").version, second->identities.at("new").version) << "came back";
  EXPECT_EQ(RecordsInStore(), 3000u);
}

TEST_F(IdentityRepositoryTest, ChangeThatChangesNothingWritesWhenItWasTakenOnly) {
  auto first = Replace(Devices(100), nullptr);
  const auto before = kv_.Content();
  auto second = Replace(Devices(100), first.get());
  EXPECT_EQ(second->identities.at("dev1").version, first->identities.at("dev1").version);
  auto after = kv_.Content();
  after["auth/meta"] = before.at("auth/meta");
  EXPECT_EQ(after, before);
}

TEST_F(IdentityRepositoryTest, RecordsOfTheFirstReleaseAreRead) {
  const std::string prefix = "auth/identity/0000000000000003-00000000/";
  kv_.Set("auth/meta", *sealing_.Seal("auth/meta", 0,
                                      R"({"count":1,"generation":3,"prefix":")" + prefix +
                                          R"(","source_hash":"h","synced_at":1800000000000})"));
  kv_.Set(prefix + "dev1",
          *sealing_.Seal(prefix + "dev1", 3,
                         R"({"device_id":"dev1","module_id":"","enabled":true,"primary_key":"a2tr","secondary_key":"",)"
                         R"("version":2})"));
  const auto set = repository_.Load(sealing_);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ((*set)->about.source, kFileSource);
  EXPECT_EQ((*set)->identities.at("dev1").credential, Credential::kSas);
  auto next = Replace(Devices(2), set->get());
  EXPECT_EQ(next->about.generation, 4u);
  EXPECT_EQ((*repository_.Load(sealing_))->identities.size(), 2u);
}

TEST_F(IdentityRepositoryTest, EverythingOfAnIdentityIsKept) {
  IdentityMap identities;
  identities["gw"] = {.device_id = "gw",
                      .enabled = false,
                      .credential = Credential::kSelfSigned,
                      .primary_thumbprint = std::string(40, 'a'),
                      .secondary_thumbprint = std::string(64, 'b'),
                      .generation_id = "637",
                      .is_gateway = true,
                      .scope = "ms-azure-iot-edge://gw-637",
                      .parent_scopes = {"ms-azure-iot-edge://edge1-1", "x"}};
  identities["ca"] = {.device_id = "ca", .credential = Credential::kCaSigned};
  identities["no"] = {.device_id = "no", .credential = Credential::kNone};
  Replace(identities, nullptr);
  const auto set = *repository_.Load(sealing_);
  for (const auto& [id, identity] : identities) EXPECT_TRUE(identity.SameContent(set->identities.at(id))) << id;
}

TEST_F(IdentityRepositoryTest, HubCredentialIsKeptSealed) {
  EXPECT_EQ(repository_.LoadHub(sealing_).status().code(), absl::StatusCode::kNotFound);
  const HubCredential credential{.hub_hostname = "hub.example",
                                 .device_id = "edge1",
                                 .module_id = kHubModuleId,
                                 .key = std::string(32, 'K'),
                                 .gateway_hostname = "parent"};
  ASSERT_TRUE(repository_.SaveHub(sealing_, credential).ok());
  EXPECT_EQ(*repository_.LoadHub(sealing_), credential);
  EXPECT_THAT(kv_.Content().at("auth/hub"), Not(HasSubstr("S0tLS0tL")));
  kv_.Set("auth/hub", "damaged");
  EXPECT_EQ(repository_.LoadHub(sealing_).status().code(), absl::StatusCode::kDataLoss);
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
