#include "lib/pki/certificate_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "lib/pki/certificate.h"
#include "lib/pki/file.h"
#include "lib/testing/temp_dir.h"

namespace holdfast::pki {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class CertificateFilesTest : public ::testing::Test {
 protected:
  absl::StatusOr<InitCertificatesResult> Init() { return InitCertificates(dir_ / "certs", "gw", now_); }
  std::string Path(const char* name) { return dir_ / (std::string("certs/") + name); }
  TempDir dir_;
  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
};

TEST_F(CertificateFilesTest, MakesAChainWithKeysForTheOwnerOnly) {
  const auto result = Init();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->made, SizeIs(4));
  const auto chain = Certificate::ChainFromFile(Path(kDeviceCaFile));
  ASSERT_TRUE(chain.ok());
  ASSERT_THAT(*chain, SizeIs(2));
  EXPECT_TRUE((*chain)[0].IsSignedBy((*chain)[1]));
  EXPECT_TRUE((*chain)[0].CheckKey(*PrivateKey::FromFile(Path(kDeviceCaKeyFile))).ok());
  for (const char* key : {kRootCaKeyFile, kDeviceCaKeyFile}) {
    struct stat info {};
    ASSERT_EQ(::stat(Path(key).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
  }
}

TEST_F(CertificateFilesTest, SecondRunKeepsEverything) {
  ASSERT_TRUE(Init().ok());
  const std::string before = *ReadFile(Path(kDeviceCaFile)) + *ReadFile(Path(kRootCaKeyFile));
  const auto second = Init();
  ASSERT_TRUE(second.ok());
  EXPECT_THAT(second->made, SizeIs(0));
  EXPECT_THAT(second->kept, SizeIs(4));
  EXPECT_EQ(*ReadFile(Path(kDeviceCaFile)) + *ReadFile(Path(kRootCaKeyFile)), before);
}

TEST_F(CertificateFilesTest, CompletesAnInterruptedRun) {
  ASSERT_TRUE(Init().ok());
  std::filesystem::remove(Path(kDeviceCaFile));
  const auto again = Init();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_THAT(again->made, SizeIs(1));
}

TEST_F(CertificateFilesTest, RootKeyKeptElsewhereIsFine) {
  ASSERT_TRUE(Init().ok());
  std::filesystem::remove(Path(kRootCaKeyFile));
  EXPECT_TRUE(Init().ok());
}

TEST_F(CertificateFilesTest, MissingOrWrongKeyIsRefusedWithWhatToDo) {
  ASSERT_TRUE(Init().ok());
  std::filesystem::remove(Path(kDeviceCaKeyFile));
  EXPECT_THAT(std::string(Init().status().message()), HasSubstr("restore the key"));
  ASSERT_TRUE(WriteNewFile(Path(kDeviceCaKeyFile), PrivateKey::Generate()->ToPem(), 0600).ok());
  EXPECT_EQ(Init().status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace holdfast::pki
