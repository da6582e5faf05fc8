#include "tests/hubsim/authenticator.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lib/mqtt/property_bag.h"
#include "lib/testing/temp_dir.h"
#include "tests/system/sas.h"

namespace holdfast::hubsim {
namespace {

using systest::SasToken;

class AuthenticatorTest : public ::testing::Test {
 protected:
  AuthenticatorTest() {
    Put("edge", {.is_edge = true});
    Put("leaf", {.parent = "edge"});
    EXPECT_TRUE(registry_.PutModule("leaf", "m", {}, {.kind = Match::kCreate}, now_).ok());
    authenticator_ = *Authenticator::Create({.hostname = "hub.test", .service_key = service_key_}, registry_);
  }
  void Put(const std::string& id, const IdentityEdit& edit) {
    ASSERT_TRUE(registry_.PutDevice(id, edit, {.kind = Match::kUpsert}, now_).ok());
  }
  const Authentication& Keys(const std::string& device, const std::string& module = "") {
    return module.empty() ? registry_.FindDevice(device)->authentication
                          : registry_.FindModule(device, module)->authentication;
  }
  absl::StatusOr<Grant> Check(const std::string& device, const std::string& module, const std::string& password,
                              const std::string& chain = "") {
    return authenticator_->CheckClient(
        {.device_id = device, .module_id = module, .auth_chain = chain, .password = password}, now_);
  }

  const absl::Time now_ = absl::Now();
  const std::string service_key_ = NewKey();
  Registry registry_{100};
  std::unique_ptr<Authenticator> authenticator_;
};

TEST_F(AuthenticatorTest, TakesBothKeysOfAnIdentity) {
  for (const std::string& key : {Keys("leaf").primary_key, Keys("leaf").secondary_key}) {
    const auto grant = Check("leaf", "", SasToken("hub.test", "leaf", key, 600));
    ASSERT_TRUE(grant.ok());
    EXPECT_EQ(grant->actor, "");
    EXPECT_NEAR(absl::ToDoubleSeconds(grant->until - now_), 900, 3) << "its end and five minutes";
  }
  EXPECT_TRUE(Check("leaf", "m", SasToken("HUB.test", "leaf", Keys("leaf", "m").primary_key, 600, "m")).ok());
  EXPECT_TRUE(Check("leaf", "", SasToken("hub.test", "leaf", Keys("leaf").primary_key, -240)).ok()) << "skew";
}

TEST_F(AuthenticatorTest, RefusesWhatDoesNotHold) {
  const std::string key = Keys("leaf").primary_key;
  EXPECT_TRUE(absl::IsUnauthenticated(Check("leaf", "", SasToken("hub.test", "leaf", NewKey())).status()));
  EXPECT_TRUE(absl::IsUnauthenticated(Check("leaf", "", SasToken("hub.test", "leaf", key, -360)).status()));
  EXPECT_TRUE(absl::IsUnauthenticated(Check("leaf", "", SasToken("other.test", "leaf", key)).status()));
  EXPECT_TRUE(absl::IsUnauthenticated(Check("leaf", "", SasToken("hub.test", "edge", key)).status()));
  EXPECT_TRUE(absl::IsUnauthenticated(Check("leaf", "", SasToken("hub.test", "leaf", key, 60, "m")).status()));
  EXPECT_TRUE(absl::IsUnauthenticated(Check("leaf", "m", SasToken("hub.test", "leaf", key, 60)).status()))
      << "a hub takes a module's own key only";
  EXPECT_TRUE(absl::IsUnauthenticated(Check("ghost", "", SasToken("hub.test", "ghost", key)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Check("leaf", "", "secret").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Check("leaf", "", "").status())) << "no credential at all";
  Put("leaf", {.enabled = false});
  EXPECT_TRUE(absl::IsPermissionDenied(Check("leaf", "", SasToken("hub.test", "leaf", key)).status()));
}

TEST_F(AuthenticatorTest, TheActorsTokenSpeaksForAChild) {
  const std::string actor = SasToken("hub.test", "edge", Keys("edge", "$edgeHub").primary_key, 600, "$edgeHub");
  EXPECT_EQ(Check("leaf", "", actor, "leaf;edge")->actor, "edge");
  EXPECT_EQ(Check("leaf", "m", actor, "leaf/m;leaf;edge")->actor, "edge");
  EXPECT_FALSE(Check("leaf", "", actor).ok()) << "without a chain it is for another resource";
  EXPECT_TRUE(absl::IsUnauthenticated(
      Check("leaf", "", SasToken("hub.test", "leaf", Keys("leaf").primary_key), "leaf;edge").status()));
  Put("leaf", {.parent = ""});
  EXPECT_TRUE(absl::IsPermissionDenied(Check("leaf", "", actor, "leaf;edge").status()));
}

// Both gateways and SDKs are known to encode the ids of a resource twice.
TEST_F(AuthenticatorTest, IdsMayBeEncodedTwice) {
  const std::string key = Keys("edge", "$edgeHub").primary_key;
  EXPECT_TRUE(authenticator_->CheckGateway(SasToken("hub.test", "edge", key, 600, "%24edgeHub"), "edge", now_).ok());
  EXPECT_TRUE(authenticator_->CheckGateway(SasToken("hub.test", "edge", key, 600, "$edgeHub"), "edge", now_).ok());
  EXPECT_TRUE(absl::IsUnauthenticated(authenticator_->CheckGateway("", "edge", now_)));
  EXPECT_TRUE(absl::IsUnauthenticated(authenticator_->CheckGateway(SasToken("hub.test", "edge", key), "edge", now_)));
}

TEST_F(AuthenticatorTest, AServiceNeedsThePolicysKey) {
  // SasToken makes tokens of devices; a device's is no service's, whatever key signed it.
  EXPECT_TRUE(absl::IsUnauthenticated(authenticator_->CheckService(SasToken("hub.test", "leaf", service_key_), now_)));
  EXPECT_TRUE(absl::IsUnauthenticated(authenticator_->CheckService("", now_)));
}

TEST_F(AuthenticatorTest, NamesAFileThatItCannotRead) {
  const auto made = Authenticator::Create({.hostname = "h", .device_ca_file = "/nowhere/ca.pem"}, registry_);
  ASSERT_FALSE(made.ok());
  EXPECT_NE(std::string(made.status().message()).find("/nowhere/ca.pem"), std::string::npos);
}

}  // namespace
}  // namespace holdfast::hubsim
