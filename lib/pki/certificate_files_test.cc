#include "lib/pki/certificate_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <optional>

#include "lib/pki/certificate.h"
#include "lib/pki/file.h"
#include "lib/pki/test_certificate.h"
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

// A CA of the operator's own, two below its root.
class OwnCaTest : public CertificateFilesTest {
 protected:
  OwnCaTest() {
    const TestRecipe ca{.common_names = {"root"},
                        .not_before = now_ - absl::Hours(24),
                        .not_after = now_ + absl::Hours(24 * 365 * 30),
                        .extensions = {{"basicConstraints", "critical,CA:TRUE"}}};
    root_.emplace(MakeTestCertificate(ca));
    TestRecipe below = ca;
    below.common_names = {"plant"};
    below.issuer = &*root_;
    below.not_after = now_ + absl::Hours(24 * 365 * 5);
    plant_.emplace(MakeTestCertificate(below));
    Write(plant_->certificate.ToPem() + root_->certificate.ToPem(), plant_->key);
  }
  void Write(const std::string& chain, const PrivateKey& key) {
    ASSERT_TRUE(ReplaceFile(files_.certificate_file, chain, 0644).ok());
    ASSERT_TRUE(ReplaceFile(files_.key_file, key.ToPem(), 0600).ok());
  }
  absl::StatusOr<InitCertificatesResult> InitWithOwn() { return InitCertificates(dir_ / "certs", "gw", now_, &files_); }

  const IssuerFiles files_{dir_ / "own.pem", dir_ / "own.key"};
  std::optional<TestCertificate> root_, plant_;
};

TEST_F(OwnCaTest, SignsTheDeviceCaAndItsRootIsWhatClientsTrust) {
  const auto result = InitWithOwn();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->made, SizeIs(3)) << "no root key";
  EXPECT_FALSE(std::filesystem::exists(Path(kRootCaKeyFile)));
  EXPECT_EQ(Certificate::ChainFromFile(Path(kRootCaFile))->front().Summary().sha256,
            root_->certificate.Summary().sha256);
  const auto chain = *Certificate::ChainFromFile(Path(kDeviceCaFile));
  ASSERT_THAT(chain, SizeIs(3));
  EXPECT_TRUE(chain[0].IsSignedBy(chain[1]));
  EXPECT_TRUE(chain[1].IsSignedBy(chain[2]));
  EXPECT_THAT(InitWithOwn()->made, SizeIs(0)) << "again";
}

TEST_F(OwnCaTest, OneThatWillNotDoIsRefusedWithWhatToDo) {
  Write(plant_->certificate.ToPem(), plant_->key);
  EXPECT_THAT(std::string(InitWithOwn().status().message()), HasSubstr("must be the root"));
  Write(root_->certificate.ToPem() + plant_->certificate.ToPem(), root_->key);
  EXPECT_FALSE(InitWithOwn().ok()) << "the wrong order";
  Write(plant_->certificate.ToPem() + root_->certificate.ToPem(), root_->key);
  EXPECT_THAT(std::string(InitWithOwn().status().message()), HasSubstr("is not its key"));
  const TestCertificate leaf = MakeTestCertificate({.issuer = &*root_});
  Write(leaf.certificate.ToPem() + root_->certificate.ToPem(), leaf.key);
  EXPECT_THAT(std::string(InitWithOwn().status().message()), HasSubstr("CA"));
  const TestCertificate last =
      MakeTestCertificate({.issuer = &*root_, .extensions = {{"basicConstraints", "critical,CA:TRUE,pathlen:0"}}});
  Write(last.certificate.ToPem() + root_->certificate.ToPem(), last.key);
  EXPECT_THAT(std::string(InitWithOwn().status().message()), HasSubstr("pathlen"));
  EXPECT_FALSE(std::filesystem::exists(Path(kDeviceCaFile))) << "nothing was begun";
}

TEST_F(OwnCaTest, AnotherRootThanTheClientsTrustIsRefused) {
  ASSERT_TRUE(Init().ok());
  std::filesystem::remove(Path(kDeviceCaFile));
  EXPECT_THAT(std::string(InitWithOwn().status().message()), HasSubstr("another root"));
  ASSERT_TRUE(Init().ok());
  EXPECT_THAT(std::string(RenewDeviceCa(dir_ / "certs", now_, &files_).status().message()), HasSubstr("another root"));
}

TEST_F(OwnCaTest, RenewsTheDeviceCa) {
  ASSERT_TRUE(InitWithOwn().ok());
  EXPECT_EQ(RenewDeviceCa(dir_ / "certs", now_ + absl::Hours(1)).status().code(), absl::StatusCode::kFailedPrecondition)
      << "its key is not here";
  EXPECT_THAT(std::string(RenewDeviceCa(dir_ / "certs", now_ + absl::Hours(1), &files_).status().message()),
              HasSubstr("renew that one first"))
      << "it ended with its issuer before, too";
}

TEST_F(CertificateFilesTest, RenewedDeviceCaEndsLaterAndWhatItSignedStaysGood) {
  ASSERT_TRUE(Init().ok());
  const std::string key = *ReadFile(Path(kDeviceCaKeyFile));
  const auto before = *Certificate::ChainFromFile(Path(kDeviceCaFile));
  const auto leaf = *MakeServerCertificate(*PrivateKey::Generate(), {"gw"}, before.front(),
                                           *PrivateKey::FromFile(Path(kDeviceCaKeyFile)), now_);
  const auto end = RenewDeviceCa(dir_ / "certs", now_ + absl::Hours(24 * 365));
  ASSERT_TRUE(end.ok()) << end.status();
  const auto after = *Certificate::ChainFromFile(Path(kDeviceCaFile));
  EXPECT_EQ(after.front().not_after(), *end);
  EXPECT_GT(*end, before.front().not_after());
  EXPECT_EQ(after.front().Summary().subject, before.front().Summary().subject);
  EXPECT_TRUE(leaf.IsSignedBy(after.front()));
  EXPECT_TRUE(after.front().IsSignedBy(after.back()));
  EXPECT_EQ(*ReadFile(Path(kDeviceCaKeyFile)), key);
  std::filesystem::remove(Path(kRootCaKeyFile));
  EXPECT_THAT(std::string(RenewDeviceCa(dir_ / "certs", now_ + absl::Hours(24 * 730)).status().message()),
              HasSubstr("bring it back"));
}

TEST_F(CertificateFilesTest, ServerCertificateIsIssuedIntoFilesOnce) {
  ASSERT_TRUE(Init().ok());
  const auto end = IssueServerFiles(dir_ / "certs", dir_ / "out", {"gw.example", "192.0.2.1"}, now_);
  ASSERT_TRUE(end.ok()) << end.status();
  const auto chain = *Certificate::ChainFromFile(dir_ / "out/server.pem");
  ASSERT_THAT(chain, SizeIs(2));
  EXPECT_EQ(chain.front().Summary().names, (std::vector<std::string>{"gw.example", "192.0.2.1"}));
  EXPECT_TRUE(chain.front().CheckKey(*PrivateKey::FromFile(dir_ / "out/server.key")).ok());
  EXPECT_EQ(chain.front().not_after(), *end);
  EXPECT_EQ(IssueServerFiles(dir_ / "certs", dir_ / "out", {"gw"}, now_).status().code(),
            absl::StatusCode::kAlreadyExists);
}

}  // namespace
}  // namespace holdfast::pki
