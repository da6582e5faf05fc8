// X.509 authentication, each rule of the IoT Hub contract ("X.509"; checklist: empty password and client certificate).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "lib/iothub/sas_token.h"
#include "lib/pki/certificate_files.h"
#include "lib/pki/test_certificate.h"
#include "lib/testing/temp_dir.h"
#include "services/auth/authenticator.h"

namespace holdfast::auth {
namespace {

using Response = v1::AuthenticateResponse;
using pki::MakeTestCertificate;
using pki::TestCertificate;
using pki::TestRecipe;
using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);
const absl::Time kEnd = absl::FromUnixSeconds(1'801'000'000);  // of the test certificates

TestRecipe Ca(const std::string& name, const TestCertificate* issuer = nullptr) {
  return {.common_names = {name}, .issuer = issuer, .extensions = {{"basicConstraints", "critical,CA:TRUE"}}};
}

class X509Test : public ::testing::Test {
 protected:
  X509Test() { Write("client_ca.pem", root_.certificate.ToPem()); }
  void Write(const std::string& name, const std::string& text) { std::ofstream(dir_ / name) << text; }
  void Add(Identity identity) {
    const std::string id = FullId(identity);
    identities_[id] = std::move(identity);
  }
  void AddCaSigned(const std::string& id) { Add({.device_id = id, .credential = Credential::kCaSigned, .version = 7}); }
  Verdict Judge(const std::string& device, const std::vector<pki::Certificate>& chain, const std::string& password = "",
                absl::Time now = kNow, const std::string& module = "") {
    std::vector<std::string> ders;
    for (const auto& certificate : chain) ders.push_back(pki::ToDer(certificate));
    return authenticator_.Judge({.device_id = device,
                                 .module_id = module,
                                 .password = password,
                                 .certificate_chain = {ders.begin(), ders.end()}},
                                identities_, now);
  }
  Response::Reason Reason(const Verdict& verdict) {
    EXPECT_EQ(verdict.decision == Response::DECISION_GRANTED, verdict.reason == Response::REASON_UNSPECIFIED);
    return verdict.reason;
  }

  TempDir dir_;
  IdentityMap identities_;
  const TestCertificate self_ = MakeTestCertificate({});
  const TestCertificate root_ = MakeTestCertificate(Ca("root"));
  const ClientCertificates certificates_{{.trust_bundle_file = dir_ / pki::kRootCaFile,
                                          .client_ca_file = dir_ / "client_ca.pem",
                                          .own_ca_file = dir_ / pki::kDeviceCaFile}};
  const Authenticator authenticator_{"hub.example", "gw.example", &certificates_};
};

TEST_F(X509Test, ThumbprintPrimaryOrSecondarySha1OrSha256) {
  const auto summary = self_.certificate.Summary();
  for (const std::string& thumbprint : {summary.sha1, summary.sha256}) {
    for (const bool is_primary : {true, false}) {
      Add({.device_id = "dev1",
           .credential = Credential::kSelfSigned,
           .primary_thumbprint = is_primary ? thumbprint : std::string(40, '0'),
           .secondary_thumbprint = is_primary ? "" : thumbprint,
           .version = 5});
      const Verdict verdict = Judge("dev1", {self_.certificate});
      EXPECT_EQ(verdict.decision, Response::DECISION_GRANTED) << verdict.detail;
      EXPECT_EQ(verdict.valid_for, kEnd - kNow);
      EXPECT_EQ(verdict.identity_version, 5u);
    }
  }
}

TEST_F(X509Test, AnotherCertificateThanTheThumbprintsIsRefused) {
  Add({.device_id = "dev1",
       .credential = Credential::kSelfSigned,
       .primary_thumbprint = self_.certificate.Summary().sha1});
  const TestCertificate other = MakeTestCertificate({});  // the same name
  EXPECT_EQ(Reason(Judge("dev1", {other.certificate})), Response::REASON_WRONG_CERTIFICATE);
  EXPECT_EQ(Reason(Judge("dev1", {other.certificate, self_.certificate})), Response::REASON_WRONG_CERTIFICATE)
      << "only the leaf counts";
  Add({.device_id = "dev2", .credential = Credential::kSelfSigned});
  EXPECT_EQ(Reason(Judge("dev2", {self_.certificate})), Response::REASON_WRONG_CERTIFICATE) << "no thumbprint at all";
}

TEST_F(X509Test, SelfSignedOutsideItsDatesIsExpired) {
  Add({.device_id = "dev1",
       .credential = Credential::kSelfSigned,
       .primary_thumbprint = self_.certificate.Summary().sha256});
  EXPECT_EQ(Reason(Judge("dev1", {self_.certificate}, "", kEnd + absl::Seconds(1))),
            Response::REASON_CERTIFICATE_EXPIRED);
  EXPECT_EQ(Reason(Judge("dev1", {self_.certificate}, "", absl::FromUnixSeconds(1'798'999'999))),
            Response::REASON_CERTIFICATE_EXPIRED);
}

TEST_F(X509Test, DisabledAndUnknownAreRefusedWhateverTheyShow) {
  Add({.device_id = "dev1",
       .enabled = false,
       .credential = Credential::kSelfSigned,
       .primary_thumbprint = self_.certificate.Summary().sha1});
  EXPECT_EQ(Reason(Judge("dev1", {self_.certificate})), Response::REASON_IDENTITY_DISABLED);
  EXPECT_EQ(Reason(Judge("nobody", {self_.certificate})), Response::REASON_UNKNOWN_IDENTITY);
}

TEST_F(X509Test, PasswordWinsOverTheCertificate) {
  const std::string key(32, 'k');
  Add({.device_id = "dev1",
       .credential = Credential::kSelfSigned,
       .primary_thumbprint = self_.certificate.Summary().sha1});
  Add({.device_id = "dev2", .credential = Credential::kSas, .primary_key = key});
  EXPECT_EQ(Reason(Judge("dev1", {self_.certificate}, "anything")), Response::REASON_CREDENTIAL_KIND);
  const std::string token = iothub::MakeSasToken("hub.example/devices/dev2", key, kNow + absl::Hours(1));
  EXPECT_EQ(Judge("dev2", {self_.certificate}, token).decision, Response::DECISION_GRANTED);
  EXPECT_EQ(Reason(Judge("dev2", {self_.certificate})), Response::REASON_CREDENTIAL_KIND);
}

TEST_F(X509Test, ModulesHaveKeysOnly) {
  Add({.device_id = "dev1",
       .credential = Credential::kSelfSigned,
       .primary_thumbprint = self_.certificate.Summary().sha1});
  Add({.device_id = "dev1", .module_id = "mod1", .primary_key = std::string(32, 'k')});
  Add({.device_id = "dev1",
       .module_id = "mod2",
       .credential = Credential::kSelfSigned,
       .primary_thumbprint = self_.certificate.Summary().sha1});
  EXPECT_EQ(Reason(Judge("dev1", {self_.certificate}, "", kNow, "mod1")), Response::REASON_CREDENTIAL_KIND);
  EXPECT_EQ(Reason(Judge("dev1", {self_.certificate}, "", kNow, "mod2")), Response::REASON_CREDENTIAL_KIND);
}

TEST_F(X509Test, CaSignedWithItsOwnNameIsLetIn) {
  AddCaSigned("dev1");
  const TestCertificate leaf = MakeTestCertificate({.issuer = &root_});
  const Verdict verdict = Judge("dev1", {leaf.certificate});
  EXPECT_EQ(verdict.decision, Response::DECISION_GRANTED) << verdict.detail;
  EXPECT_EQ(verdict.valid_for, kEnd - kNow);
  EXPECT_EQ(verdict.identity_version, 7u);
  const TestCertificate middle = MakeTestCertificate(Ca("middle", &root_));
  const TestCertificate deep = MakeTestCertificate({.issuer = &middle});
  EXPECT_EQ(Judge("dev1", {deep.certificate, middle.certificate}).decision, Response::DECISION_GRANTED);
  EXPECT_EQ(Reason(Judge("dev1", {deep.certificate})), Response::REASON_WRONG_CERTIFICATE);
}

TEST_F(X509Test, CommonNameIsTheDeviceIdExactly) {
  for (const char* id : {"dev2", "DEV1", "dev"}) {
    AddCaSigned(id);
    EXPECT_EQ(Reason(Judge(id, {MakeTestCertificate({.issuer = &root_}).certificate})),
              Response::REASON_WRONG_CERTIFICATE);
  }
  AddCaSigned("dev1");
  const auto san = MakeTestCertificate(
      {.common_names = {"other"}, .issuer = &root_, .extensions = {{"subjectAltName", "DNS:dev1"}}});
  EXPECT_EQ(Reason(Judge("dev1", {san.certificate})), Response::REASON_WRONG_CERTIFICATE) << "SAN is ignored";
}

TEST_F(X509Test, CaSignedByAStrangerForAnotherUseOrByACaItselfIsRefused) {
  AddCaSigned("dev1");
  const TestCertificate stranger = MakeTestCertificate(Ca("root"));
  EXPECT_EQ(Reason(Judge("dev1", {MakeTestCertificate({.issuer = &stranger}).certificate, stranger.certificate})),
            Response::REASON_WRONG_CERTIFICATE);
  EXPECT_EQ(Reason(Judge("dev1", {self_.certificate})), Response::REASON_WRONG_CERTIFICATE);
  EXPECT_EQ(Reason(Judge("dev1", {MakeTestCertificate(Ca("dev1", &root_)).certificate})),
            Response::REASON_WRONG_CERTIFICATE);
  const auto server = MakeTestCertificate({.issuer = &root_, .extensions = {{"extendedKeyUsage", "serverAuth"}}});
  EXPECT_EQ(Reason(Judge("dev1", {server.certificate})), Response::REASON_WRONG_CERTIFICATE);
}

TEST_F(X509Test, CaSignedOutsideItsDatesIsExpired) {
  AddCaSigned("dev1");
  const TestCertificate leaf = MakeTestCertificate({.not_after = kNow - absl::Seconds(1), .issuer = &root_});
  EXPECT_EQ(Reason(Judge("dev1", {leaf.certificate})), Response::REASON_CERTIFICATE_EXPIRED);
}

// A module gets a certificate by its name from the workload API; it must not pass for a device of that name.
TEST_F(X509Test, WhatTheGatewaysOwnCaIssuedLetsNobodyIn) {
  AddCaSigned("dev1");
  const TestCertificate own = MakeTestCertificate(Ca("device CA", &root_));
  const TestCertificate leaf = MakeTestCertificate({.issuer = &own});
  EXPECT_EQ(Judge("dev1", {leaf.certificate, own.certificate}).decision, Response::DECISION_GRANTED)
      << "of any CA below a trusted one";
  Write(pki::kRootCaFile, root_.certificate.ToPem());
  Write(pki::kDeviceCaFile, own.certificate.ToPem() + root_.certificate.ToPem());
  const Verdict verdict = Judge("dev1", {leaf.certificate, own.certificate});
  EXPECT_EQ(Reason(verdict), Response::REASON_WRONG_CERTIFICATE);
  EXPECT_THAT(verdict.detail, HasSubstr("device CA"));
}

TEST_F(X509Test, FilesOfCasAreReadAgainWhenTheyChange) {
  AddCaSigned("dev1");
  const TestCertificate next = MakeTestCertificate(Ca("next"));
  const TestCertificate leaf = MakeTestCertificate({.issuer = &next});
  EXPECT_EQ(Reason(Judge("dev1", {leaf.certificate})), Response::REASON_WRONG_CERTIFICATE);
  Write("client_ca.pem", root_.certificate.ToPem() + next.certificate.ToPem());
  EXPECT_EQ(Judge("dev1", {leaf.certificate}).decision, Response::DECISION_GRANTED);
  Write("client_ca.pem", "damaged");
  EXPECT_EQ(Reason(Judge("dev1", {leaf.certificate})), Response::REASON_WRONG_CERTIFICATE);
}

// P12
TEST_F(X509Test, WhatAClientSendsIsBounded) {
  AddCaSigned("dev1");
  const TestCertificate leaf = MakeTestCertificate({.issuer = &root_});
  EXPECT_EQ(Reason(Judge("dev1", std::vector<pki::Certificate>(11, leaf.certificate))),
            Response::REASON_WRONG_CERTIFICATE);
  const Verdict garbage =
      authenticator_.Judge({.device_id = "dev1", .certificate_chain = {"not a certificate"}}, identities_, kNow);
  EXPECT_EQ(garbage.reason, Response::REASON_WRONG_CERTIFICATE);
}

}  // namespace
}  // namespace holdfast::auth
