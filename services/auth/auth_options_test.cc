#include "services/auth/auth_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "lib/testing/temp_dir.h"

namespace holdfast::auth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<AuthOptions> Read(const std::string& auth_section) {
  TempDir dir;
  std::ofstream(dir / "holdfast.toml") << "[auth]\n" << auth_section;
  const auto file = ConfigFile::Load(dir / "holdfast.toml");
  if (!file.ok()) return file.status();
  const auto gateway = ReadGatewayOptions(**file);
  if (!gateway.ok()) return gateway.status();
  return ReadAuthOptions(**file, *gateway);
}

std::string ErrorOf(const std::string& auth_section) {
  return std::string(Read(auth_section).status().message());
}

TEST(AuthOptionsTest, WorkloadModulesNeedTheirDevice) {
  EXPECT_THAT(ErrorOf("workload_modules = [\"mod1\"]"), HasSubstr("set [auth] workload_device_id"));
  const auto named = Read("workload_modules = [\"mod1\", \"mod2\"]\nworkload_device_id = \"edge1\"");
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_THAT(named->workload_modules, ElementsAre("mod1", "mod2"));
  EXPECT_TRUE(Read("workload_modules = [\"mod1\"]\nhub_connection_string_file = \"/x\"").ok());
  EXPECT_TRUE(Read("").ok());
}

TEST(AuthOptionsTest, WorkloadNamesThatAreNoneAreRefused) {
  EXPECT_THAT(ErrorOf("workload_modules = [\"../mod1\"]\nworkload_device_id = \"edge1\""),
              HasSubstr("[auth] workload_modules: ../mod1 can't be a module with a socket"));
  EXPECT_THAT(ErrorOf("workload_device_id = \"a/b\""), HasSubstr("a/b is not a device id"));
}

TEST(AuthOptionsTest, SealingKeyLiesInAFileUnlessATpmIsAskedFor) {
  const auto file = Read("tpm_tcti = \"device:/dev/tpm0\"");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->sealing_keys.file, "/var/lib/holdfast/secrets/sealing.key");
  EXPECT_EQ(file->sealing_keys.tpm_blob_file, "");
  const auto tpm = Read("sealing_key_source = \"tpm\"");
  ASSERT_TRUE(tpm.ok()) << tpm.status();
  EXPECT_EQ(tpm->sealing_keys.tpm_blob_file, "/var/lib/holdfast/secrets/sealing.tpm");
  EXPECT_EQ(tpm->sealing_keys.tpm_tcti, "device:/dev/tpmrm0");
  EXPECT_THAT(ErrorOf("sealing_key_source = \"hsm\""), HasSubstr("hsm is not \"file\" or \"tpm\""));
  EXPECT_THAT(ErrorOf("sealing_key_source = \"tpm\"\ntpm_tcti = \"\""), HasSubstr("tpm_tcti is empty"));
}

}  // namespace
}  // namespace holdfast::auth
