// Rotation of the sealing key: the store can be read at any moment, whoever dies when.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "lib/pki/file.h"
#include "lib/rpc/server.h"
#include "lib/seal/key_ring.h"
#include "lib/testing/manual_clock.h"
#include "lib/testing/temp_dir.h"
#include "services/auth/fake_key_value.h"
#include "services/auth/key_ring.h"
#include "services/auth/sealing_keeper.h"

namespace holdfast::auth {
namespace {

using ::testing::HasSubstr;

class KeyRotationTest : public ::testing::Test {
 protected:
  KeyRotationTest() {
    SealingKeeper keeper(file_, repository_, clock_);
    EXPECT_TRUE(keeper.Refresh().ok());
    IdentityMap identities;
    for (int i = 0; i < 1200; ++i) {
      const std::string id = fmt::format("dev{:04}", i);
      identities[id] = {.device_id = id, .primary_key = std::string(32, 'k')};
    }
    EXPECT_TRUE(repository_.Replace(keeper.Get(), std::move(identities), {}, nullptr).ok());
    EXPECT_TRUE(repository_.SaveMarks(keeper.Get(), {}).ok());
    EXPECT_TRUE(repository_.SaveHub(keeper.Get(), {.hub_hostname = "h", .key = std::string(32, 'h')}).ok());
    EXPECT_TRUE(repository_.LoadWorkloadSecret(keeper.Get()).ok());
  }
  static constexpr uint64_t kRecords = 1200 + 4;

  // A process that starts now reads everything.
  void ExpectReadable(const std::string& what) {
    SealingKeeper keeper(file_, repository_, clock_);
    ASSERT_TRUE(keeper.Refresh().ok()) << what;
    const auto set = repository_.Load(keeper.Get());
    ASSERT_TRUE(set.ok()) << what << set.status();
    EXPECT_EQ((*set)->identities.size(), 1200u) << what;
    EXPECT_TRUE(repository_.LoadMarks(keeper.Get()).ok()) << what;
    EXPECT_TRUE(repository_.LoadHub(keeper.Get()).ok()) << what;
    EXPECT_TRUE(repository_.LoadWorkloadSecret(keeper.Get()).ok()) << what;
  }

  TempDir dir_;
  ManualClock clock_;
  const std::string file_ = dir_ / "secrets/sealing.key";
  FakeKeyValue kv_;
  std::unique_ptr<rpc::Server> server_ = *rpc::Server::Create({.run_dir = dir_.path(), .service = "store"}, {&kv_});
  rpc::Channels channels_{dir_.path(), "store"};
  IdentityRepository repository_{channels_};
};

TEST_F(KeyRotationTest, EverythingIsSealedAnewAndTheOldKeyGoesLater) {
  SealingKeeper keeper(file_, repository_, clock_);
  ASSERT_TRUE(keeper.Refresh().ok());
  const std::string old_key = seal::ReadKeyRing(file_)->front();
  const std::string old_id = keeper.Get().KeyId();
  ASSERT_TRUE(keeper.Rotate().ok());
  EXPECT_NE(keeper.Get().KeyId(), old_id);
  auto status = *keeper.Status();
  EXPECT_EQ(status.current, kRecords);
  EXPECT_EQ(status.older, 0u);
  EXPECT_EQ(status.key_ids.size(), 2u) << "another instance may still seal with the old one";
  EXPECT_EQ(keeper.Rotate().code(), absl::StatusCode::kFailedPrecondition) << "one rotation at a time";
  ExpectReadable("both keys");
  ASSERT_FALSE(*keeper.Advance());
  clock_.Advance(SealingKeeper::kDropAfter - absl::Seconds(1));
  ASSERT_FALSE(*keeper.Advance());
  EXPECT_EQ(seal::ReadKeyRing(file_)->size(), 2u);
  clock_.Advance(absl::Seconds(1));
  ASSERT_FALSE(*keeper.Advance());
  ASSERT_EQ(seal::ReadKeyRing(file_)->size(), 1u);
  ExpectReadable("the new key alone");
  const auto with_old = *Sealing::Create({old_key});
  EXPECT_EQ(repository_.CountSealed(with_old)->unreadable, kRecords) << "the old key opens nothing any more";
}

TEST_F(KeyRotationTest, StoreThatGoesAwayAtAnyWriteLeavesAllReadableAndTheRotationGoesOn) {
  for (int writes = 0; writes < 3; ++writes) {
    {
      SealingKeeper keeper(file_, repository_, clock_);
      ASSERT_TRUE(keeper.Refresh().ok());
      kv_.FailWritesAfter(writes);
      EXPECT_EQ(keeper.Rotate().code(), absl::StatusCode::kUnavailable) << writes;
    }  // killed here
    ExpectReadable(fmt::format("after {} writes", writes));
    kv_.FailWritesAfter(-1);
    SealingKeeper next(file_, repository_, clock_);
    ASSERT_TRUE(next.Refresh().ok());
    EXPECT_EQ(next.Status()->older, kRecords - static_cast<uint64_t>(writes) * 500) << "broken off in the middle";
    EXPECT_TRUE(*next.Advance()) << "the next process takes it up";
    EXPECT_EQ(next.Status()->older, 0u);
    EXPECT_FALSE(*next.Advance());
    clock_.Advance(SealingKeeper::kDropAfter);
    EXPECT_FALSE(*next.Advance());
    EXPECT_EQ(seal::ReadKeyRing(file_)->size(), 1u);
    ExpectReadable("dropped");
  }
}

TEST_F(KeyRotationTest, InstanceThatStillSealsWithTheOldKeyPutsTheDropOff) {
  SealingKeeper keeper(file_, repository_, clock_), other(file_, repository_, clock_);
  ASSERT_TRUE(keeper.Refresh().ok());
  ASSERT_TRUE(other.Refresh().ok());
  ASSERT_TRUE(keeper.Rotate().ok());
  ASSERT_FALSE(*keeper.Advance());
  ASSERT_TRUE(repository_.SaveMarks(other.Get(), {}).ok());  // with the old key: it has not looked yet
  clock_.Advance(SealingKeeper::kDropAfter);
  EXPECT_TRUE(*keeper.Advance()) << "sealed anew instead of dropped";
  EXPECT_EQ(seal::ReadKeyRing(file_)->size(), 2u);
  ASSERT_TRUE(other.Refresh().ok());
  EXPECT_EQ(other.Get().KeyId(), keeper.Get().KeyId());
  ExpectReadable("both");
}

TEST_F(KeyRotationTest, TwoInstancesThatRotateAtOnceLoseNoKey) {
  SealingKeeper one(file_, repository_, clock_), two(file_, repository_, clock_);
  ASSERT_TRUE(one.Refresh().ok());
  ASSERT_TRUE(two.Refresh().ok());
  ASSERT_TRUE(one.Rotate().ok());
  EXPECT_EQ(two.Rotate().code(), absl::StatusCode::kFailedPrecondition);
  ExpectReadable("both");
}

TEST_F(KeyRotationTest, DamagedRecordsAreCountedAndKept) {
  kv_.Set("auth/clock", "damaged");
  SealingKeeper keeper(file_, repository_, clock_);
  ASSERT_TRUE(keeper.Refresh().ok());
  ASSERT_TRUE(keeper.Rotate().ok());
  EXPECT_EQ(keeper.Status()->unreadable, 1u);
  EXPECT_EQ(kv_.Content().at("auth/clock"), "damaged");
}

TEST_F(KeyRotationTest, FileThatCannotBeReplacedSaysHowToRotate) {
  const std::string secret = dir_ / "none/missing/secret";
  EXPECT_FALSE(AddKey(secret).ok());
  // A folder where the file should go makes rename() fail, as a bind-mounted secret does.
  std::filesystem::remove(file_);
  std::filesystem::create_directories(file_);
  EXPECT_FALSE(AddKey(file_).ok());
}

TEST_F(KeyRotationTest, KeyThatVanishesWhileRunningIsNotReplaced) {
  SealingKeeper keeper(file_, repository_, clock_);
  ASSERT_TRUE(keeper.Refresh().ok());
  const std::string id = keeper.Get().KeyId();
  std::filesystem::remove(file_);
  EXPECT_TRUE(keeper.Refresh().ok()) << "what is in memory is used";
  EXPECT_EQ(keeper.Get().KeyId(), id);
  EXPECT_FALSE(std::filesystem::exists(file_));
  SealingKeeper next(file_, repository_, clock_);
  EXPECT_EQ(next.Refresh().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(std::filesystem::exists(file_));
}

// What an operator does with a secret that auth can't write: the new key in front of the old one, by hand.
TEST_F(KeyRotationTest, RingMadeByHandIsTakenUp) {
  const std::string old_key = seal::ReadKeyRing(file_)->front();
  ASSERT_TRUE(pki::ReplaceFile(file_, std::string(32, 'N') + old_key, 0600).ok());
  SealingKeeper keeper(file_, repository_, clock_);
  ASSERT_TRUE(keeper.Refresh().ok());
  EXPECT_TRUE(*keeper.Advance());
  EXPECT_EQ(keeper.Status()->current, kRecords);
  ASSERT_TRUE(pki::ReplaceFile(file_, std::string(33, 'N'), 0600).ok());
  const absl::Status status = SealingKeeper(file_, repository_, clock_).Refresh();
  EXPECT_THAT(std::string(status.message()), HasSubstr("restore it from its copy"));
}

}  // namespace
}  // namespace holdfast::auth
