#include "lib/seal/key_ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

#include "lib/pki/file.h"
#include "lib/testing/temp_dir.h"

namespace holdfast::seal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kKey(kKeyBytes, 'k');

TEST(KeyRingTest, KeyFileIsMadeOnceForTheOwnerOnly) {
  TempDir dir;
  const std::string path = dir / "secrets/sealing.key";
  EXPECT_EQ(ReadKeyRing(path).status().code(), absl::StatusCode::kNotFound);
  const auto made = MakeKeyRing(path);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(*ReadKeyRing(path), *made);
  EXPECT_EQ(MakeKeyRing(path).status().code(), absl::StatusCode::kAlreadyExists);
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat((dir / "secrets").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST(KeyRingTest, KeyFileOfAnotherSizeOrModeSaysWhatToDo) {
  TempDir dir;
  ASSERT_TRUE(pki::WriteNewFile(dir / "short", "short", 0600).ok());
  EXPECT_THAT(std::string(ReadKeyRing(dir / "short").status().message()), HasSubstr("has 5 bytes, not 32"));
  ASSERT_TRUE(pki::WriteNewFile(dir / "open", kKey, 0666).ok());
  EXPECT_THAT(std::string(ReadKeyRing(dir / "open").status().message()), HasSubstr("chmod 0600"));
}

TEST(KeyRingTest, SeveralKeysComeInTheirOrder) {
  TempDir dir;
  const std::string other(kKeyBytes, 'o');
  ASSERT_TRUE(pki::WriteNewFile(dir / "two", other + kKey, 0600).ok());
  EXPECT_THAT(*ReadKeyRing(dir / "two"), ElementsAre(other, kKey));
  EXPECT_NE(KeyId(other), KeyId(kKey));
  EXPECT_EQ(KeyId(kKey).size(), kKeyIdBytes);
}

}  // namespace
}  // namespace holdfast::seal
