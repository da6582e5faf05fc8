#include "lib/pki/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <optional>

#include "lib/testing/temp_dir.h"

namespace holdfast::pki {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kDay = absl::Hours(24);

class CertificateTest : public ::testing::Test {
 protected:
  void SetUp() override { MakeAuthority(now_); }
  void MakeAuthority(absl::Time now) {
    root_ = MakeRootCa(root_key_, "root", now).value();
    ca_ = MakeDeviceCa(ca_key_, "device CA", *root_, root_key_, now).value();
  }

  // What software that is not ours says of the chain at a time.
  bool OpenSslAccepts(const Certificate& leaf, const std::string& host, absl::Time at) {
    std::ofstream(dir_ / "root.pem") << root_->ToPem();
    std::ofstream(dir_ / "ca.pem") << ca_->ToPem();
    std::ofstream(dir_ / "leaf.pem") << leaf.ToPem();
    const std::string command = "cd " + dir_.path() + " && openssl verify -x509_strict -purpose sslserver -attime " +
                                std::to_string(absl::ToUnixSeconds(at)) + " -CAfile root.pem -untrusted ca.pem " +
                                host + " leaf.pem >/dev/null 2>&1";
    return ::system(command.c_str()) == 0;
  }

  TempDir dir_;
  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  const PrivateKey root_key_ = PrivateKey::Generate().value();
  const PrivateKey ca_key_ = PrivateKey::Generate().value();
  const PrivateKey key_ = PrivateKey::Generate().value();
  std::optional<Certificate> root_, ca_;
};

TEST_F(CertificateTest, ChainVerifiesForItsNamesAndNoOthers) {
  const auto leaf = MakeServerCertificate(key_, {"gw.example", "192.0.2.7", "::1"}, *ca_, ca_key_, now_);
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  EXPECT_TRUE(OpenSslAccepts(*leaf, "-verify_hostname gw.example", now_));
  EXPECT_TRUE(OpenSslAccepts(*leaf, "-verify_ip 192.0.2.7", now_));
  EXPECT_TRUE(OpenSslAccepts(*leaf, "-verify_ip ::1", now_));
  EXPECT_FALSE(OpenSslAccepts(*leaf, "-verify_hostname other.example", now_));
}

TEST_F(CertificateTest, SummarySaysWhatAPersonWants) {
  const auto leaf = MakeServerCertificate(key_, {"gw.example", "192.0.2.7"}, *ca_, ca_key_, now_);
  const CertificateSummary s = leaf->Summary();
  EXPECT_EQ(s.subject, "CN=gw.example");
  EXPECT_EQ(s.issuer, "CN=device CA");
  EXPECT_THAT(s.names, ElementsAre("gw.example", "192.0.2.7"));
  EXPECT_FALSE(s.is_ca);
  EXPECT_TRUE(ca_->Summary().is_ca);
  EXPECT_EQ(s.not_after, now_ + 90 * kDay);
  EXPECT_EQ(s.not_before, now_ - kDay);
  EXPECT_EQ(s.sha1.size(), 40u);
  EXPECT_EQ(s.sha256.size(), 64u);
  EXPECT_EQ(ca_->not_after(), now_ + kDeviceCaLifetime);
  EXPECT_EQ(root_->not_after(), now_ + kRootCaLifetime);
}

TEST_F(CertificateTest, MadeIn1970IsValidWhenTheClockIsRightAgain) {
  MakeAuthority(absl::UnixEpoch());
  const auto leaf = MakeServerCertificate(key_, {"gw.example"}, *ca_, ca_key_, absl::UnixEpoch());
  EXPECT_TRUE(OpenSslAccepts(*leaf, "", Floor()));
  EXPECT_TRUE(OpenSslAccepts(*leaf, "", Floor() + 89 * kDay));
}

TEST_F(CertificateTest, NeverOutlivesNorPrecedesItsIssuer) {
  const auto late = MakeServerCertificate(key_, {"gw"}, *ca_, ca_key_, ca_->not_after() - kDay);
  EXPECT_EQ(late->not_after(), ca_->not_after());
  const auto early = MakeServerCertificate(key_, {"gw"}, *ca_, ca_key_, absl::UnixEpoch());
  EXPECT_EQ(early->not_before(), ca_->not_before());
}

TEST_F(CertificateTest, RequestGivesItsKeyAndNothingElse) {
  const auto csr = MakeCsr(key_, "what.i.want.example");
  ASSERT_TRUE(csr.ok());
  const auto leaf = MakeServerCertificateFromCsr(*csr, {"gw.example"}, *ca_, ca_key_, now_);
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  EXPECT_TRUE(leaf->CheckKey(key_).ok());
  EXPECT_TRUE(leaf->IsSignedBy(*ca_));
  EXPECT_EQ(leaf->Summary().subject, "CN=gw.example");
  EXPECT_TRUE(OpenSslAccepts(*leaf, "-verify_hostname gw.example", now_));
}

TEST_F(CertificateTest, DamagedRequestAndWeakKeyAreRefused) {
  EXPECT_EQ(MakeServerCertificateFromCsr("nonsense", {"gw"}, *ca_, ca_key_, now_).status().code(),
            absl::StatusCode::kInvalidArgument);
  std::string csr = *MakeCsr(key_, "x");
  csr[csr.size() / 2] = csr[csr.size() / 2] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(MakeServerCertificateFromCsr(csr, {"gw"}, *ca_, ca_key_, now_).ok());
  ASSERT_EQ(::system(("cd " + dir_.path() +
                      " && openssl req -newkey rsa:1024 -nodes -keyout k.pem -subj /CN=x "
                      "-out weak.pem 2>/dev/null && openssl req -newkey rsa:2048 -nodes -keyout k.pem "
                      "-subj /CN=x -out good.pem 2>/dev/null")
                         .c_str()),
            0);
  const auto read = [this](const std::string& name) {
    std::ifstream in(dir_ / name);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  EXPECT_THAT(
      std::string(MakeServerCertificateFromCsr(read("weak.pem"), {"gw"}, *ca_, ca_key_, now_).status().message()),
      HasSubstr("P-256, P-384 or RSA of 2048"));
  EXPECT_TRUE(MakeServerCertificateFromCsr(read("good.pem"), {"gw"}, *ca_, ca_key_, now_).ok());
}

TEST_F(CertificateTest, BadNamesAreRefused) {
  for (const std::string& name :
       {std::string(), std::string("a b"), std::string("a,DNS:evil"), std::string(300, 'a')}) {
    EXPECT_EQ(MakeServerCertificate(key_, {name}, *ca_, ca_key_, now_).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_FALSE(MakeServerCertificate(key_, {}, *ca_, ca_key_, now_).ok());
}

TEST_F(CertificateTest, DatesOutOfRangeSayWhatAndWhatToDo) {
  EXPECT_TRUE(ca_->CheckDates(now_, "device CA").ok());
  const std::string expired(ca_->CheckDates(ca_->not_after() + kDay, "device CA a.pem").message());
  EXPECT_THAT(expired, HasSubstr("device CA a.pem expired at 20"));
  EXPECT_THAT(expired, HasSubstr("holdfast certs init"));
  EXPECT_THAT(std::string(ca_->CheckDates(absl::UnixEpoch(), "device CA").message()), HasSubstr("set the clock"));
}

TEST_F(CertificateTest, PemRoundTripAndDamage) {
  const auto chain = Certificate::ChainFromPem(ca_->ToPem() + root_->ToPem());
  ASSERT_TRUE(chain.ok());
  ASSERT_EQ(chain->size(), 2u);
  EXPECT_EQ((*chain)[1].Summary().sha256, root_->Summary().sha256);
  EXPECT_FALSE(Certificate::ChainFromPem("").ok());
  std::string damaged = ca_->ToPem();
  damaged.replace(100, 10, "!!!!!!!!!!");
  EXPECT_FALSE(Certificate::ChainFromPem(damaged).ok());
  const std::string pem = key_.ToPem();
  EXPECT_EQ(PrivateKey::FromPem(pem)->ToPem(), pem);
  EXPECT_FALSE(PrivateKey::FromPem(ca_->ToPem()).ok());
}

}  // namespace
}  // namespace holdfast::pki
