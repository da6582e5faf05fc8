// Rotation of the sealing key: the store can be read at any moment, whoever dies when.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "lib/base/unique_fd.h"
#include "lib/pki/file.h"
#include "lib/rpc/server.h"
#include "lib/testing/manual_clock.h"
#include "lib/testing/swtpm.h"
#include "lib/testing/temp_dir.h"
#include "services/auth/fake_key_value.h"
#include "services/auth/key_ring.h"
#include "services/auth/sealing.h"
#include "services/auth/sealing_keeper.h"

namespace holdfast::auth {
namespace {

using ::testing::HasSubstr;

// The parameter: a TPM seals the keys.
class KeyRotationTest : public ::testing::TestWithParam<bool> {
 protected:
  KeyRotationTest() {
    EXPECT_TRUE(swtpm_ == nullptr || swtpm_->Start());
    SealingKeeper keeper(where_, repository_, clock_);
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
    SealingKeeper keeper(where_, repository_, clock_);
    ASSERT_TRUE(keeper.Refresh().ok()) << what;
    const auto set = repository_.Load(keeper.Get());
    ASSERT_TRUE(set.ok()) << what << set.status();
    EXPECT_EQ((*set)->identities.size(), 1200u) << what;
    EXPECT_TRUE(repository_.LoadMarks(keeper.Get()).ok()) << what;
    EXPECT_TRUE(repository_.LoadHub(keeper.Get()).ok()) << what;
    EXPECT_TRUE(repository_.LoadWorkloadSecret(keeper.Get()).ok()) << what;
  }

  // As they lie on disk.
  std::vector<std::string> KeysOnDisk() { return *KeyRing(where_).Read(); }

  TempDir dir_;
  ManualClock clock_;
  const std::unique_ptr<Swtpm> swtpm_ = GetParam() ? std::make_unique<Swtpm>() : nullptr;
  const std::string file_ = dir_ / (GetParam() ? "secrets/sealing.tpm" : "secrets/sealing.key");
  const KeyLocation where_{.file = dir_ / "secrets/sealing.key",
                           .tpm_blob_file = GetParam() ? file_ : "",
                           .tpm_tcti = GetParam() ? swtpm_->tcti() : ""};
  FakeKeyValue kv_;
  std::unique_ptr<rpc::Server> server_ = *rpc::Server::Create({.run_dir = dir_.path(), .service = "store"}, {&kv_});
  rpc::Channels channels_{dir_.path(), "store"};
  IdentityRepository repository_{channels_};
};

TEST_P(KeyRotationTest, EverythingIsSealedAnewAndTheOldKeyGoesLater) {
  SealingKeeper keeper(where_, repository_, clock_);
  ASSERT_TRUE(keeper.Refresh().ok());
  const std::string old_key = KeysOnDisk().front();
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
  EXPECT_EQ(KeysOnDisk().size(), 2u);
  clock_.Advance(absl::Seconds(1));
  ASSERT_FALSE(*keeper.Advance());
  ASSERT_EQ(KeysOnDisk().size(), 1u);
  ExpectReadable("the new key alone");
  const auto with_old = *Sealing::Create({old_key});
  EXPECT_EQ(repository_.CountSealed(with_old)->unreadable, kRecords) << "the old key opens nothing any more";
}

TEST_P(KeyRotationTest, StoreThatGoesAwayAtAnyWriteLeavesAllReadableAndTheRotationGoesOn) {
  for (int writes = 0; writes < 3; ++writes) {
    {
      SealingKeeper keeper(where_, repository_, clock_);
      ASSERT_TRUE(keeper.Refresh().ok());
      kv_.FailWritesAfter(writes);
      EXPECT_EQ(keeper.Rotate().code(), absl::StatusCode::kUnavailable) << writes;
    }  // killed here
    ExpectReadable(fmt::format("after {} writes", writes));
    kv_.FailWritesAfter(-1);
    SealingKeeper next(where_, repository_, clock_);
    ASSERT_TRUE(next.Refresh().ok());
    EXPECT_EQ(next.Status()->older, kRecords - static_cast<uint64_t>(writes) * 500) << "broken off in the middle";
    EXPECT_TRUE(*next.Advance()) << "the next process takes it up";
    EXPECT_EQ(next.Status()->older, 0u);
    EXPECT_FALSE(*next.Advance());
    clock_.Advance(SealingKeeper::kDropAfter);
    EXPECT_FALSE(*next.Advance());
    EXPECT_EQ(KeysOnDisk().size(), 1u);
    ExpectReadable("dropped");
  }
}

TEST_P(KeyRotationTest, InstanceThatStillSealsWithTheOldKeyPutsTheDropOff) {
  SealingKeeper keeper(where_, repository_, clock_), other(where_, repository_, clock_);
  ASSERT_TRUE(keeper.Refresh().ok());
  ASSERT_TRUE(other.Refresh().ok());
  ASSERT_TRUE(keeper.Rotate().ok());
  ASSERT_FALSE(*keeper.Advance());
  ASSERT_TRUE(repository_.SaveMarks(other.Get(), {}).ok());  // with the old key: it has not looked yet
  clock_.Advance(SealingKeeper::kDropAfter);
  EXPECT_TRUE(*keeper.Advance()) << "sealed anew instead of dropped";
  EXPECT_EQ(KeysOnDisk().size(), 2u);
  ASSERT_TRUE(other.Refresh().ok());
  EXPECT_EQ(other.Get().KeyId(), keeper.Get().KeyId());
  ExpectReadable("both");
}

TEST_P(KeyRotationTest, TwoInstancesThatRotateAtOnceLoseNoKey) {
  SealingKeeper one(where_, repository_, clock_), two(where_, repository_, clock_);
  ASSERT_TRUE(one.Refresh().ok());
  ASSERT_TRUE(two.Refresh().ok());
  ASSERT_TRUE(one.Rotate().ok());
  EXPECT_EQ(two.Rotate().code(), absl::StatusCode::kFailedPrecondition);
  ExpectReadable("both");
}

TEST_P(KeyRotationTest, DamagedRecordsAreCountedAndKept) {
  kv_.Set("auth/clock", "damaged");
  SealingKeeper keeper(where_, repository_, clock_);
  ASSERT_TRUE(keeper.Refresh().ok());
  ASSERT_TRUE(keeper.Rotate().ok());
  EXPECT_EQ(keeper.Status()->unreadable, 1u);
  EXPECT_EQ(kv_.Content().at("auth/clock"), "damaged");
}

// What lies in a file of its own kind: not with a TPM.
class KeyFileTest : public KeyRotationTest {};

// A secret that can be read and not be replaced, as docker mounts one: here an open file without a name.
TEST_P(KeyFileTest, FileThatCannotBeReplacedSaysHowToRotate) {
  const UniqueFd secret(::memfd_create("secret", 0));
  ASSERT_EQ(::fchmod(secret.get(), 0400), 0);
  ASSERT_EQ(::write(secret.get(), KeysOnDisk().front().data(), kSealingKeyBytes), ssize_t{kSealingKeyBytes});
  SealingKeeper keeper({.file = fmt::format("/proc/self/fd/{}", secret.get())}, repository_, clock_);
  ASSERT_TRUE(keeper.Refresh().ok());
  const std::string id = keeper.Get().KeyId();
  const absl::Status status = keeper.Rotate();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("make a new one of 32 random bytes followed by the 32 bytes"));
  EXPECT_EQ(keeper.Get().KeyId(), id) << "and goes on with the old one";
  EXPECT_EQ(keeper.Status()->older, 0u);
}

TEST_P(KeyRotationTest, KeyThatVanishesWhileRunningIsNotReplaced) {
  SealingKeeper keeper(where_, repository_, clock_);
  ASSERT_TRUE(keeper.Refresh().ok());
  const std::string id = keeper.Get().KeyId();
  std::filesystem::remove(file_);
  EXPECT_TRUE(keeper.Refresh().ok()) << "what is in memory is used";
  EXPECT_EQ(keeper.Get().KeyId(), id);
  EXPECT_FALSE(std::filesystem::exists(file_));
  SealingKeeper next(where_, repository_, clock_);
  EXPECT_EQ(next.Refresh().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(std::filesystem::exists(file_));
}

class KeyInTpmTest : public KeyRotationTest {};

// P6: without its TPM nothing is made anew.
TEST_P(KeyInTpmTest, TpmThatIsAwayAnotherOneOrClearedKeepsEverything) {
  const std::string blob = *pki::ReadSecretFile(file_);
  const auto records = kv_.Content();
  swtpm_->Stop();
  EXPECT_EQ(SealingKeeper(where_, repository_, clock_).Refresh().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(swtpm_->Start());
  ExpectReadable("the TPM is back");
  Swtpm other;
  ASSERT_TRUE(other.Start());
  KeyLocation elsewhere = where_;
  elsewhere.tpm_tcti = other.tcti();
  EXPECT_EQ(SealingKeeper(elsewhere, repository_, clock_).Refresh().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(swtpm_->Clear());
  EXPECT_EQ(SealingKeeper(where_, repository_, clock_).Refresh().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(*pki::ReadSecretFile(file_), blob);
  EXPECT_EQ(kv_.Content(), records);
}

TEST_P(KeyInTpmTest, KeyFileIsTakenOverByTheTpmAndRotatedAway) {
  const std::string key = KeysOnDisk().front();
  std::filesystem::remove(file_);
  ASSERT_TRUE(pki::WriteNewFile(where_.file, key, 0600).ok());
  SealingKeeper keeper(where_, repository_, clock_);
  ASSERT_TRUE(keeper.Refresh().ok());
  ASSERT_TRUE(keeper.Rotate().ok());
  EXPECT_TRUE(keeper.Status()->has_tpm);
  ExpectReadable("from the TPM");
  EXPECT_EQ(repository_.CountSealed(*Sealing::Create({key}))->current, 0u);
}

// What an operator does with a secret that auth can't write: the new key in front of the old one, by hand.
TEST_P(KeyFileTest, RingMadeByHandIsTakenUp) {
  const std::string old_key = KeysOnDisk().front();
  ASSERT_TRUE(pki::ReplaceFile(file_, std::string(32, 'N') + old_key, 0600).ok());
  SealingKeeper keeper(where_, repository_, clock_);
  ASSERT_TRUE(keeper.Refresh().ok());
  EXPECT_TRUE(*keeper.Advance());
  EXPECT_EQ(keeper.Status()->current, kRecords);
  ASSERT_TRUE(pki::ReplaceFile(file_, std::string(33, 'N'), 0600).ok());
  const absl::Status status = SealingKeeper(where_, repository_, clock_).Refresh();
  EXPECT_THAT(std::string(status.message()), HasSubstr("restore it from its copy"));
}

INSTANTIATE_TEST_SUITE_P(Source, KeyRotationTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Tpm" : "File"; });
INSTANTIATE_TEST_SUITE_P(Source, KeyInTpmTest, ::testing::Values(true), [](const auto&) { return "Tpm"; });
INSTANTIATE_TEST_SUITE_P(Source, KeyFileTest, ::testing::Values(false), [](const auto&) { return "File"; });

}  // namespace
}  // namespace holdfast::auth
