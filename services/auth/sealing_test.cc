#include "services/auth/sealing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <set>

#include "lib/pki/file.h"
#include "lib/testing/temp_dir.h"
#include "services/auth/key_ring.h"

namespace holdfast::auth {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kKey(32, 'k');
const std::string kOtherKey(32, 'o');

TEST(SealingTest, OpensWhatItSealed) {
  const auto sealing = Sealing::Create({kKey});
  for (const std::string& text : {std::string(), std::string("x"), std::string(100'000, 'y')}) {
    const auto sealed = sealing->Seal("name", 7, text);
    ASSERT_TRUE(sealed.ok());
    EXPECT_EQ(sealed->size(), text.size() + kSealedOverheadBytes);
    EXPECT_EQ(*sealing->Open("name", 7, *sealed), text);
  }
}

// P6
TEST(SealingTest, SealedTextShowsNothingAndIsNeverTheSameTwice) {
  const auto sealing = Sealing::Create({kKey});
  std::set<std::string> nonces;
  for (int i = 0; i < 1000; ++i) {
    const std::string sealed = *sealing->Seal("name", 7, "the device key");
    EXPECT_THAT(sealed, Not(HasSubstr("device")));
    nonces.insert(sealed.substr(9, 12));
  }
  EXPECT_EQ(nonces.size(), 1000u);
}

// P6
TEST(SealingTest, RecordMovedToAnotherNameOrVersionDoesNotOpen) {
  const auto sealing = Sealing::Create({kKey});
  const std::string sealed = *sealing->Seal("auth/identity/dev1", 7, "secret");
  EXPECT_EQ(sealing->Open("auth/identity/dev2", 7, sealed).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(sealing->Open("auth/identity/dev1", 8, sealed).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(sealing->Open("auth/identity/dev1", 7, sealed).ok());
}

TEST(SealingTest, EveryChangedByteIsNoticed) {
  const auto sealing = Sealing::Create({kKey});
  const std::string sealed = *sealing->Seal("name", 7, "secret");
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string damaged = sealed;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(sealing->Open("name", 7, damaged).ok()) << i;
    EXPECT_FALSE(sealing->Open("name", 7, sealed.substr(0, i)).ok()) << i;
  }
}

TEST(SealingTest, AnotherKeyIsToldFromDamage) {
  const auto sealing = Sealing::Create({kKey});
  const auto other = Sealing::Create({kOtherKey});
  EXPECT_EQ(other->Open("name", 7, *sealing->Seal("name", 7, "x")).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(sealing->KeyId(), other->KeyId());
}

TEST(SealingTest, WhileKeysAreRotatedOldRecordsOpenAndNewOnesHaveTheNewKey) {
  const auto old = Sealing::Create({kKey});
  const auto both = Sealing::Create({kOtherKey, kKey});
  EXPECT_EQ(*both->Open("name", 7, *old->Seal("name", 7, "x")), "x");
  EXPECT_FALSE(old->Open("name", 7, *both->Seal("name", 7, "x")).ok());
}

TEST(SealingTest, KeyFileIsMadeOnceForTheOwnerOnly) {
  TempDir dir;
  const std::string path = dir / "secrets/sealing.key";
  EXPECT_EQ(KeyRing({.file = path}).Read().status().code(), absl::StatusCode::kNotFound);
  const auto made = KeyRing({.file = path}).Make();
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(*KeyRing({.file = path}).Read(), *made);
  EXPECT_EQ(KeyRing({.file = path}).Make().status().code(), absl::StatusCode::kAlreadyExists);
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat((dir / "secrets").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST(SealingTest, KeyFileOfAnotherSizeOrModeSaysWhatToDo) {
  TempDir dir;
  ASSERT_TRUE(pki::WriteNewFile(dir / "short", "short", 0600).ok());
  EXPECT_THAT(std::string(KeyRing({.file = dir / "short"}).Read().status().message()),
              HasSubstr("has 5 bytes, not 32"));
  ASSERT_TRUE(pki::WriteNewFile(dir / "open", kKey, 0666).ok());
  EXPECT_THAT(std::string(KeyRing({.file = dir / "open"}).Read().status().message()), HasSubstr("chmod 0600"));
}

}  // namespace
}  // namespace holdfast::auth
