#include "lib/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "lib/testing/temp_dir.h"

namespace holdfast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ConfigTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& text) {
    const std::string path = dir_ / "holdfast.toml";
    std::ofstream(path) << text;
    return path;
  }
  TempDir dir_;
};

TEST_F(ConfigTest, ReadsEachKindAndKeepsDefaults) {
  auto file =
      ConfigFile::Load(Write("[store]\nname = \"x\"\non = true\ncount = 7\nwait = \"500ms\"\nlist = [\"a\", \"b\"]\n"));
  ASSERT_TRUE(file.ok()) << file.status();
  std::string name, other = "default";
  bool on = false;
  int64_t count = 0;
  absl::Duration wait;
  std::vector<std::string> list;
  ConfigSection s = (*file)->Section("store");
  s.Read("name", &name);
  s.Read("other", &other);
  s.Read("on", &on);
  s.Read("count", &count, 1, 10);
  s.Read("wait", &wait, absl::ZeroDuration(), absl::Seconds(1));
  s.Read("list", &list);
  ASSERT_TRUE(s.Finish().ok());
  EXPECT_EQ(name, "x");
  EXPECT_EQ(other, "default");
  EXPECT_TRUE(on);
  EXPECT_EQ(count, 7);
  EXPECT_EQ(wait, absl::Milliseconds(500));
  EXPECT_THAT(list, ElementsAre("a", "b"));
}

TEST_F(ConfigTest, UnknownKeyNamesFileLineAndWhatIsAllowed) {
  auto file = ConfigFile::Load(Write("[store]\ncount = 1\ncuont = 2\n"));
  ASSERT_TRUE(file.ok());
  int64_t count = 0;
  ConfigSection s = (*file)->Section("store");
  s.Read("count", &count, 0, 9);
  const std::string message(s.Finish().message());
  EXPECT_THAT(message, HasSubstr("holdfast.toml:3: [store] cuont is not a known key; known: count"));
}

TEST_F(ConfigTest, ValueOutOfRangeNamesLineAndRange) {
  auto file = ConfigFile::Load(Write("[store]\n\ncount = 100\n"));
  int64_t count = 5;
  ConfigSection s = (*file)->Section("store");
  s.Read("count", &count, 0, 9);
  EXPECT_THAT(std::string(s.Finish().message()),
              HasSubstr("holdfast.toml:3: [store] count: must be a whole number from 0 to 9"));
  EXPECT_EQ(count, 5);
}

TEST_F(ConfigTest, UnknownSectionSyntaxErrorAndMissingFileAreErrors) {
  EXPECT_THAT(std::string(ConfigFile::Load(Write("[stroe]\n")).status().message()), HasSubstr("not a known section"));
  EXPECT_THAT(std::string(ConfigFile::Load(Write("[store]\nx = = 1\n")).status().message()),
              HasSubstr("holdfast.toml:2"));
  EXPECT_EQ(ConfigFile::Load(dir_ / "none.toml").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ConfigTest, EnvironmentWinsOverTheFile) {
  auto file = ConfigFile::Load(Write("[store]\ncount = 1\n"));
  ::setenv("HOLDFAST_STORE_COUNT", "8", 1);
  int64_t count = 0;
  ConfigSection s = (*file)->Section("store");
  s.Read("count", &count, 0, 9);
  EXPECT_TRUE(s.Finish().ok());
  EXPECT_EQ(count, 8);
  ::setenv("HOLDFAST_STORE_COUNT", "eight", 1);
  ConfigSection t = (*file)->Section("store");
  t.Read("count", &count, 0, 9);
  EXPECT_THAT(std::string(t.Finish().message()), HasSubstr("HOLDFAST_STORE_COUNT"));
  ::unsetenv("HOLDFAST_STORE_COUNT");
}

TEST_F(ConfigTest, GivenIsWhatFileAndEnvironmentSay) {
  ::setenv("HOLDFAST_STORE_COUNT", "8", 1);
  const auto file = ConfigFile::Load(Write("[uplink]\nnonsense = [\"a\"]\n[store]\ncount = 7\nname = \"x\"\n"));
  ASSERT_TRUE(file.ok()) << file.status();
  std::vector<std::string> lines;
  for (const ConfigValue& value : (*file)->Given()) {
    lines.push_back(value.section + "." + value.key + "=" + value.text + (value.from_environment ? " !" : ""));
  }
  ::unsetenv("HOLDFAST_STORE_COUNT");
  EXPECT_THAT(lines, ElementsAre("store.count=8 !", "store.name=x", "uplink.nonsense=[ 'a' ]"));
}

}  // namespace
}  // namespace holdfast
