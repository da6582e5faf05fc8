#include "services/store/store_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "lib/testing/temp_dir.h"

namespace holdfast::store {
namespace {

using ::testing::HasSubstr;

class StoreOptionsTest : public ::testing::Test {
 protected:
  absl::StatusOr<StoreOptions> Read(const std::string& section) {
    std::ofstream(dir_ / "holdfast.toml") << "[gateway]\ndata_dir = \"" << dir_.path() << "/data\"\n[store]\n"
                                          << section;
    auto file = ConfigFile::Load(dir_ / "holdfast.toml");
    if (!file.ok()) return file.status();
    const auto gateway = ReadGatewayOptions(**file);
    if (!gateway.ok()) return gateway.status();
    return ReadStoreOptions(**file, *gateway);
  }
  TempDir dir_;
};

TEST_F(StoreOptionsTest, EncryptionIsOffUnlessAKeyFileIsNamed) {
  const auto options = Read("");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->engine.encryption_key_file, "");
  const std::string path = dir_ / "data/secrets/store.key";
  EXPECT_EQ(Read("encryption_key_file = \"" + path + "\"")->engine.encryption_key_file, path);
}

// P6: whoever copies the data must not get the key with it.
TEST_F(StoreOptionsTest, KeyFileInTheDataDirectoryIsRefused) {
  for (const std::string name : {"/data/store/key", "/data/store/db/key", "/data/secrets/../store/key"}) {
    const auto options = Read("encryption_key_file = \"" + dir_.path() + name + "\"");
    EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(options.status().message()), HasSubstr("choose another folder"));
  }
}

}  // namespace
}  // namespace holdfast::store
