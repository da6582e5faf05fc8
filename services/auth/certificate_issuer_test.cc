#include "services/auth/certificate_issuer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "lib/pki/certificate.h"
#include "lib/pki/certificate_files.h"
#include "lib/testing/manual_clock.h"
#include "lib/testing/temp_dir.h"

namespace holdfast::auth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CertificateIssuerTest : public ::testing::Test {
 protected:
  std::string Path(const char* name) { return dir_ / name; }
  void Init() { ASSERT_TRUE(pki::InitCertificates(dir_.path(), "gw", clock_.WallNow()).ok()); }

  TempDir dir_;
  ManualClock clock_;
  TrustedClock trusted_{clock_};
  const pki::PrivateKey key_ = *pki::PrivateKey::Generate();
  const std::string csr_ = *pki::MakeCsr(key_, "ignored");
  CertificateIssuer issuer_{{.ca_certificate_file = Path(pki::kDeviceCaFile),
                             .ca_key_file = Path(pki::kDeviceCaKeyFile),
                             .trust_bundle_file = Path(pki::kRootCaFile),
                             .names = {"localhost", "LOCALHOST", "127.0.0.1", "gw.example"}},
                            trusted_};
};

TEST_F(CertificateIssuerTest, LeafThenDeviceCaForTheConfiguredNames) {
  Init();
  const auto issued = issuer_.Issue(csr_);
  ASSERT_TRUE(issued.ok()) << issued.status();
  const auto chain = pki::Certificate::ChainFromPem(issued->chain_pem);
  ASSERT_EQ(chain->size(), 2u);
  EXPECT_TRUE((*chain)[0].CheckKey(key_).ok());
  EXPECT_TRUE((*chain)[0].IsSignedBy((*chain)[1]));
  EXPECT_THAT((*chain)[0].Summary().names, ElementsAre("localhost", "127.0.0.1", "gw.example"));
  EXPECT_EQ(issued->not_after, clock_.WallNow() + absl::Hours(24 * 90));
  EXPECT_EQ(issued->renew_after, absl::Hours(24 * 60));
  const auto bundle = pki::Certificate::FromPem(*issuer_.TrustBundle());
  EXPECT_TRUE((*chain)[1].IsSignedBy(*bundle));
}

TEST_F(CertificateIssuerTest, WithoutACaItSaysWhatToDoAndOneMadeLaterCounts) {
  EXPECT_EQ(issuer_.CheckFiles().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(issuer_.Issue(csr_).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(issuer_.Issue(csr_).status().message()), HasSubstr("holdfast certs init"));
  EXPECT_EQ(issuer_.TrustBundle().status().code(), absl::StatusCode::kFailedPrecondition);
  Init();
  EXPECT_TRUE(issuer_.CheckFiles().ok());
  EXPECT_TRUE(issuer_.Issue(csr_).ok());
}

TEST_F(CertificateIssuerTest, ExpiredCaAndMissingKeySayWhatAndWhatToDo) {
  Init();
  clock_.Advance(absl::Hours(24 * 365 * 11));
  EXPECT_TRUE(issuer_.CheckFiles().ok());
  EXPECT_THAT(std::string(issuer_.CheckDates().message()), HasSubstr("device_ca.pem expired at"));
  EXPECT_EQ(issuer_.Issue(csr_).status().code(), absl::StatusCode::kFailedPrecondition);
  std::filesystem::remove(Path(pki::kDeviceCaKeyFile));
  EXPECT_EQ(issuer_.CheckFiles().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(issuer_.CheckFiles().message()), HasSubstr("device_ca.key"));
}

TEST_F(CertificateIssuerTest, In1970CertificatesAreIssuedAndRenewedSoon) {
  Init();
  const absl::Time made = clock_.WallNow();
  clock_.SetWall(absl::UnixEpoch());
  clock_.SetSynchronized(false);
  const auto issued = issuer_.Issue(csr_);
  ASSERT_TRUE(issued.ok()) << issued.status();
  EXPECT_GT(issued->not_after, made + absl::Hours(24 * 80));
  EXPECT_EQ(issued->renew_after, CertificateIssuer::kRenewWhileClockIsWrong);
}

TEST_F(CertificateIssuerTest, NonsenseIsInvalid) {
  Init();
  EXPECT_EQ(issuer_.Issue("nonsense").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace holdfast::auth
