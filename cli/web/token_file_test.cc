#include "cli/web/token_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "lib/testing/temp_dir.h"

namespace holdfast::web {
namespace {

using testing::HasSubstr;

unsigned Mode(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

void Write(const std::string& path, const std::string& text, mode_t mode) {
  std::ofstream(path) << text;
  ASSERT_EQ(::chmod(path.c_str(), mode), 0);
}

TEST(TokenFileTest, P6_IsMadeForItsOwnerOnlyAndKept) {
  const TempDir dir;
  const std::string path = dir / "web/token";
  const auto token = ReadOrMakeToken(path);
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_GE(token->size(), 43u);
  EXPECT_EQ(Mode(path), 0600u);
  EXPECT_EQ(Mode(dir / "web"), 0700u);
  EXPECT_EQ(*ReadOrMakeToken(path), *token);
  EXPECT_NE(*ReadOrMakeToken(dir / "other"), *token);
}

TEST(TokenFileTest, P6_OneThatOthersMayReadIsRefused) {
  const TempDir dir;
  Write(dir / "token", "0123456789abcdefghijklmnop\n", 0644);
  const auto token = ReadOrMakeToken(dir / "token");
  EXPECT_EQ(token.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(token.status().message()), HasSubstr("chmod 0600"));
}

TEST(TokenFileTest, WhatIsNoTokenIsRefused) {
  const TempDir dir;
  Write(dir / "token", "  0123456789abcdefghijklmnop \r\n", 0600);
  EXPECT_EQ(*ReadOrMakeToken(dir / "token"), "0123456789abcdefghijklmnop") << "white space at its ends does not count";
  for (const std::string& text :
       {std::string(), std::string("short"), std::string("0123456789abcdefghijkl mnop"), std::string(257, 'a')}) {
    Write(dir / "token", text, 0600);
    EXPECT_EQ(ReadOrMakeToken(dir / "token").status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(TokenFileTest, FolderThatCanNotBeWrittenSaysWhatToDo) {
  const auto token = ReadOrMakeToken("/proc/self/web/token");
  ASSERT_FALSE(token.ok());
  EXPECT_THAT(std::string(token.status().message()), HasSubstr("--token-file"));
}

}  // namespace
}  // namespace holdfast::web
