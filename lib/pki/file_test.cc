#include "lib/pki/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "lib/testing/temp_dir.h"

namespace holdfast::pki {
namespace {

using ::testing::HasSubstr;

unsigned Mode(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

TEST(FileTest, WrittenFileHasItsContentAndModeAndNothingElseIsLeft) {
  TempDir dir;
  ASSERT_TRUE(WriteNewFile(dir / "key", "secret", 0600).ok());
  EXPECT_EQ(*ReadSecretFile(dir / "key"), "secret");
  EXPECT_EQ(Mode(dir / "key"), 0600u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(FileTest, NeverOverwrites) {
  TempDir dir;
  ASSERT_TRUE(WriteNewFile(dir / "key", "first", 0600).ok());
  EXPECT_EQ(WriteNewFile(dir / "key", "second", 0600).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(*ReadFile(dir / "key"), "first");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(FileTest, SecretThatOthersMayReadIsRefusedWithTheCommandThatHelps) {
  TempDir dir;
  ASSERT_TRUE(WriteNewFile(dir / "key", "secret", 0644).ok());
  const absl::Status status = ReadSecretFile(dir / "key").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("chmod 0600"));
  EXPECT_TRUE(ReadFile(dir / "key").ok());
}

TEST(FileTest, MissingFolderTooLargeFileAndNoFileSayWhich) {
  TempDir dir;
  EXPECT_EQ(ReadFile(dir / "none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(ReadFile(dir / "none").status().message()), HasSubstr(dir / "none"));
  EXPECT_EQ(ReadFile(dir.path()).status().code(), absl::StatusCode::kInvalidArgument);
  std::ofstream(dir / "large") << std::string(kFileBytesMax + 1, 'x');
  EXPECT_THAT(std::string(ReadFile(dir / "large").status().message()), HasSubstr("larger than"));
  EXPECT_FALSE(WriteNewFile(dir / "no/such/folder", "x", 0600).ok());
}

TEST(FileTest, MakesFolderWithItsModeAndKeepsAnExistingOne) {
  TempDir dir;
  ASSERT_TRUE(MakeDirectory(dir / "a/b/secrets", 0700).ok());
  EXPECT_EQ(Mode(dir / "a/b/secrets"), 0700u);
  EXPECT_TRUE(MakeDirectory(dir / "a/b/secrets", 0700).ok());
}

TEST(FileTest, ReplaceFileReplacesTheWholeAndSetsTheMode) {
  TempDir dir;
  ASSERT_TRUE(ReplaceFile(dir / "f", "first, longer", 0644).ok());
  ASSERT_TRUE(ReplaceFile(dir / "f", "second", 0600).ok());
  EXPECT_EQ(*ReadSecretFile(dir / "f"), "second");
  EXPECT_FALSE(ReplaceFile(dir / "none/f", "x", 0600).ok());
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir.path())) ++files;
  EXPECT_EQ(files, 1u) << "nothing is left beside it";
}

}  // namespace
}  // namespace holdfast::pki
