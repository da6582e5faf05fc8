// A TPM as the place of the sealing key, with a real swtpm.
#include "services/auth/tpm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "lib/pki/file.h"
#include "lib/testing/swtpm.h"
#include "lib/testing/temp_dir.h"
#include "services/auth/key_ring.h"
#include "services/auth/tpm_blob.h"

namespace holdfast::auth {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string TextOf(const absl::Status& status) {
  return std::string(status.message());
}

class TpmTest : public ::testing::Test {
 protected:
  TpmTest() { EXPECT_TRUE(swtpm_.Start()); }

  const std::string secret_ = std::string(Tpm::kSecretBytesMax - 1, 's') + '\0';
  Swtpm swtpm_;
  const Tpm tpm_{swtpm_.tcti()};
};

TEST_F(TpmTest, OpensWhatItSealedAndTheBlobShowsNothing) {
  const auto blob = tpm_.Seal(secret_);
  ASSERT_TRUE(blob.ok()) << blob.status();
  EXPECT_THAT(*blob, Not(HasSubstr("ssss")));
  EXPECT_EQ(*tpm_.Unseal(*blob), secret_);
  swtpm_.Stop();
  ASSERT_TRUE(swtpm_.Start());
  EXPECT_EQ(*tpm_.Unseal(*blob), secret_) << "after its restart";
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(tpm_.Unseal(*blob).ok()) << "something was left in the TPM: " << i;
  EXPECT_FALSE(tpm_.Seal("").ok());
  EXPECT_FALSE(tpm_.Seal(secret_ + "s").ok());
}

// P6
TEST_F(TpmTest, AnotherTpmOrOneThatWasClearedDoesNotOpenIt) {
  const std::string blob = *tpm_.Seal(secret_);
  Swtpm other;
  ASSERT_TRUE(other.Start());
  const absl::Status foreign = Tpm(other.tcti()).Unseal(blob).status();
  EXPECT_EQ(foreign.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(TextOf(foreign),
              AllOf(HasSubstr("another TPM sealed it"), HasSubstr("bring the right TPM or blob back")));
  ASSERT_TRUE(swtpm_.Clear());
  EXPECT_THAT(TextOf(tpm_.Unseal(blob).status()), HasSubstr("this one was cleared since"));
}

TEST_F(TpmTest, DamagedBlobSaysSo) {
  const std::string blob = *tpm_.Seal(secret_);
  for (const size_t at : {size_t{20}, blob.size() / 2, blob.size() - 1}) {
    std::string damaged = blob;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_FALSE(tpm_.Unseal(damaged).ok()) << at;
  }
  for (size_t size = 0; size < blob.size(); ++size) {
    ASSERT_EQ(ReadTpmBlob(blob.substr(0, size)).status().code(), absl::StatusCode::kDataLoss) << size;
  }
  EXPECT_TRUE(absl::IsDataLoss(tpm_.Unseal(blob + "x").status()));
  EXPECT_TRUE(absl::IsDataLoss(tpm_.Unseal("a key in the clear").status()));
}

TEST_F(TpmTest, LockOutDoesNotConcernIt) {
  const std::string blob = *tpm_.Seal(secret_);
  ASSERT_TRUE(swtpm_.LockOut());
  EXPECT_EQ(*tpm_.Unseal(blob), secret_);
}

TEST_F(TpmTest, TpmThatIsAwayOrHasAnOwnerSaysWhatToDo) {
  const std::string blob = *tpm_.Seal(secret_);
  ASSERT_TRUE(swtpm_.TakeOwnership("mine"));
  EXPECT_THAT(TextOf(tpm_.Unseal(blob).status()), HasSubstr("tpm2_changeauth -c owner"));
  swtpm_.Stop();
  const absl::Status away = tpm_.Unseal(blob).status();
  EXPECT_EQ(away.code(), absl::StatusCode::kFailedPrecondition) << "NOT_FOUND would mean that there is no key yet";
  EXPECT_THAT(TextOf(away), AllOf(HasSubstr("can't be reached"), HasSubstr("tpm_tcti")));
  EXPECT_THAT(TextOf(Tpm("device:/nonexistent").Seal(secret_).status()), HasSubstr("can't be reached"));
}

class TpmKeyRingTest : public TpmTest {
 protected:
  const TempDir dir_;
  const KeyLocation where_{
      .file = dir_ / "sealing.key", .tpm_blob_file = dir_ / "secrets/sealing.tpm", .tpm_tcti = swtpm_.tcti()};
};

TEST_F(TpmKeyRingTest, LiesOnDiskAsABlobForTheOwnerOnly) {
  KeyRing ring(where_);
  EXPECT_TRUE(absl::IsNotFound(ring.Read().status()));
  const auto made = ring.Make();
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(absl::IsAlreadyExists(ring.Make().status()));
  const std::string blob = *pki::ReadSecretFile(where_.tpm_blob_file);
  EXPECT_THAT(blob, Not(HasSubstr(made->front())));
  struct stat info {};
  ASSERT_EQ(::stat(where_.tpm_blob_file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_FALSE(std::filesystem::exists(where_.file));
  EXPECT_EQ(*KeyRing(where_).Read(), *made);
  EXPECT_THAT(TextOf(KeyRing({.file = where_.tpm_blob_file}).Read().status()),
              HasSubstr("sealing_key_source = \"tpm\""));
}

TEST_F(TpmKeyRingTest, TpmThatFailsChangesNothingOnDisk) {
  KeyRing ring(where_);
  const auto keys = *ring.Make();
  const std::string blob = *pki::ReadSecretFile(where_.tpm_blob_file);
  swtpm_.Stop();
  EXPECT_EQ(*ring.Read(), keys) << "the TPM is not asked for the same blob again";
  EXPECT_TRUE(absl::IsFailedPrecondition(ring.Add().status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(KeyRing(where_).Read().status()));
  EXPECT_EQ(*pki::ReadSecretFile(where_.tpm_blob_file), blob);
  ASSERT_TRUE(swtpm_.Start());
  EXPECT_EQ(ring.Add()->size(), 2u);
}

TEST_F(TpmKeyRingTest, KeyThatLayInAFileIsTakenOver) {
  EXPECT_TRUE(absl::IsNotFound(KeyRing(where_).TakeOver().status()));
  const auto keys = *KeyRing({.file = where_.file}).Make();
  KeyRing ring(where_);
  EXPECT_EQ(*ring.TakeOver(), keys);
  EXPECT_EQ(*ring.Read(), keys);
  EXPECT_TRUE(absl::IsAlreadyExists(ring.TakeOver().status()));
  EXPECT_TRUE(std::filesystem::exists(where_.file)) << "it may be the only copy";
}

}  // namespace
}  // namespace holdfast::auth
