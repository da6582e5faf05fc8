#include "services/auth/offline_readiness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/pki/certificate_files.h"
#include "lib/testing/manual_clock.h"
#include "lib/testing/temp_dir.h"

namespace holdfast::auth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class OfflineReadinessTest : public ::testing::Test {
 protected:
  OfflineReport Judge(const OfflineReadiness::Options& options = {}) {
    return OfflineReadiness(options, cache_, hub_, issuer_, certificates_, *metrics_).Judge();
  }
  void Load(Credential credential, uint64_t damaged = 0) {
    auto set = std::make_shared<IdentitySet>();
    set->identities["dev1"] = {.device_id = "dev1", .credential = credential};
    set->damaged = damaged;
    cache_.Set(std::move(set));
  }
  void MakeCa() { ASSERT_TRUE(pki::InitCertificates(dir_.path(), "gw", clock_.WallNow()).ok()); }
  double Metric() {
    return metrics_->Gauge("holdfast_auth_ready_for_offline", "1 if the hub could be cut off now, as far as auth knows")
        .Value();
  }

  TempDir dir_;
  ManualClock clock_;
  TrustedClock trusted_{clock_};
  IdentityCache cache_;
  HubIdentity hub_;
  std::unique_ptr<Metrics> metrics_ = *Metrics::Create("");
  CertificateIssuer issuer_{{.ca_certificate_file = dir_ / pki::kDeviceCaFile,
                             .ca_key_file = dir_ / pki::kDeviceCaKeyFile,
                             .trust_bundle_file = dir_ / pki::kRootCaFile,
                             .names = {"gw"}},
                            trusted_};
  ClientCertificates certificates_{{.trust_bundle_file = dir_ / "bundle.pem"}};
};

TEST_F(OfflineReadinessTest, ReadyWhenIdentitiesAndCaAreThere) {
  MakeCa();
  Load(Credential::kSas);
  const OfflineReport report = Judge({.identities_file = "/etc/identities.toml"});
  EXPECT_THAT(report.missing, IsEmpty());
  EXPECT_EQ(report.source, "file /etc/identities.toml");
  EXPECT_GT(*report.device_ca_not_after, clock_.WallNow());
  EXPECT_EQ(Metric(), 1);
}

TEST_F(OfflineReadinessTest, EachThingThatIsMissingSaysWhatToDo) {
  MakeCa();
  EXPECT_THAT(Judge().missing, ElementsAre(HasSubstr("not loaded")));
  EXPECT_EQ(Metric(), 0);
  cache_.SetNeverProvisioned();
  EXPECT_THAT(Judge().missing, ElementsAre(HasSubstr("set [auth] identities_file or")));
  EXPECT_THAT(Judge({.identities_file = "/etc/i.toml"}).missing, ElementsAre(HasSubstr("write /etc/i.toml")));
  EXPECT_THAT(Judge({.hub_connection_string_file = "/etc/hub"}).missing, ElementsAre(HasSubstr("into /etc/hub")));
  hub_.Set({.hub_hostname = "hub.example", .device_id = "edge1"});
  EXPECT_THAT(Judge({.hub_connection_string_file = "/etc/hub"}).missing,
              ElementsAre("never synced with hub.example: connect the gateway once"));
  EXPECT_EQ(Judge().source, "hub hub.example");
  Load(Credential::kSas, /*damaged=*/2);
  EXPECT_THAT(Judge().missing, ElementsAre(HasSubstr("2 identities in the store are damaged")));
}

TEST_F(OfflineReadinessTest, CertificatesCount) {
  Load(Credential::kCaSigned);
  EXPECT_THAT(Judge().missing, ElementsAre(HasSubstr("certs init"), HasSubstr("client_ca_file")));
  MakeCa();
  clock_.Advance(absl::Hours(24 * 365 * 11));
  EXPECT_THAT(Judge().missing, ElementsAre(HasSubstr("device CA"), HasSubstr("client_ca_file")));
}

}  // namespace
}  // namespace holdfast::auth
