#include "services/auth/authenticator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "lib/iothub/sas_token.h"
#include "lib/iothub/sas_vectors.h"

namespace holdfast::auth {

namespace vectors = iothub::vectors;
namespace {

using Response = v1::AuthenticateResponse;
using ::testing::HasSubstr;
using ::testing::Not;

std::string KeyFrom(int first) {
  std::string key(32, '\0');
  std::iota(key.begin(), key.end(), static_cast<char>(first));
  return key;
}

class AuthenticatorTest : public ::testing::Test {
 protected:
  AuthenticatorTest() {
    Add({.device_id = "dev1", .primary_key = KeyFrom(0), .secondary_key = KeyFrom(100)});
    Add({.device_id = "dev1", .module_id = "mod1", .primary_key = KeyFrom(200)});
    Add({.device_id = "dev2", .primary_key = KeyFrom(0)});
    Add({.device_id = "a%b+?'", .primary_key = KeyFrom(0)});
  }
  void Add(Identity identity) { identities_[FullId(identity)] = std::move(identity); }
  Verdict Judge(std::string_view device, std::string_view module, std::string_view password) {
    return authenticator_.Judge({.device_id = device, .module_id = module, .password = password}, identities_, now_);
  }
  void ExpectGranted(std::string_view device, std::string_view module, std::string_view password) {
    const Verdict verdict = Judge(device, module, password);
    EXPECT_EQ(verdict.decision, Response::DECISION_GRANTED) << password << ": " << verdict.detail;
  }
  void ExpectDenied(Response::Reason reason, std::string_view device, std::string_view module,
                    std::string_view password) {
    const Verdict verdict = Judge(device, module, password);
    EXPECT_EQ(verdict.decision, Response::DECISION_DENIED) << password;
    EXPECT_EQ(verdict.reason, reason) << Response::Reason_Name(verdict.reason) << ": " << verdict.detail;
    EXPECT_THAT(verdict.detail, HasSubstr(std::string(device)));
  }

  const absl::Time end_ = absl::FromUnixSeconds(1'800'003'600);  // of the vectors
  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  IdentityMap identities_;
  Authenticator authenticator_{"Hub.Example", "gw.example"};
};

TEST_F(AuthenticatorTest, EveryFormOfAGoodTokenIsLetIn) {
  for (const char* token : {vectors::kUpperHex, vectors::kLowerHex, vectors::kNotEncoded, vectors::kFraction,
                            vectors::kPolicyOtherOrder, vectors::kEmptyPolicy}) {
    ExpectGranted("dev1", "", token);
  }
}

TEST_F(AuthenticatorTest, SecondaryKeyIsAsGoodAsPrimary) {
  ExpectGranted("dev1", "", vectors::kSecondary);
}

TEST_F(AuthenticatorTest, HubOrGatewayHostIgnoringCaseAndNoOther) {
  ExpectGranted("dev1", "", vectors::kUpperHex);
  ExpectGranted("dev1", "", vectors::kGatewayOtherCase);
  ExpectDenied(Response::REASON_WRONG_AUDIENCE, "dev1", "", vectors::kOtherHost);
}

TEST_F(AuthenticatorTest, ExpiredByFourMinutesIsLetInBySixIsNot) {
  now_ = end_ + absl::Minutes(4);
  const Verdict late = Judge("dev1", "", vectors::kUpperHex);
  EXPECT_EQ(late.decision, Response::DECISION_GRANTED);
  EXPECT_EQ(late.valid_for, absl::Minutes(1));
  now_ = end_ + absl::Minutes(6);
  ExpectDenied(Response::REASON_TOKEN_EXPIRED, "dev1", "", vectors::kUpperHex);
}

TEST_F(AuthenticatorTest, SaysHowLongTheAnswerHolds) {
  EXPECT_EQ(Judge("dev1", "", vectors::kUpperHex).valid_for, end_ + iothub::kClockSkew - now_);
}

TEST_F(AuthenticatorTest, TokenOfAnotherDeviceIsForNobodyElse) {
  ExpectDenied(Response::REASON_WRONG_AUDIENCE, "dev1", "", vectors::kOtherDevice);
  ExpectGranted("dev2", "", vectors::kOtherDevice);
  ExpectDenied(Response::REASON_WRONG_AUDIENCE, "dev1", "", vectors::kFourParts);
}

TEST_F(AuthenticatorTest, ModuleComesInByItsOwnKeyOrByItsDevices) {
  ExpectGranted("dev1", "mod1", vectors::kModule);
  ExpectGranted("dev1", "mod1", vectors::kModuleByDevice);
  ExpectGranted("dev1", "mod1", vectors::kUpperHex);
  ExpectGranted("dev1", "mod1", vectors::kSecondary);
}

TEST_F(AuthenticatorTest, ModulesTokenAndKeyNeverLetTheDeviceIn) {
  ExpectDenied(Response::REASON_WRONG_AUDIENCE, "dev1", "", vectors::kModule);
  ExpectDenied(Response::REASON_WRONG_AUDIENCE, "dev1", "", vectors::kModuleByDevice);
  ExpectDenied(Response::REASON_WRONG_SIGNATURE, "dev1", "", vectors::kDeviceByModule);
  // …nor the module, by a token that claims to be the device's.
  ExpectDenied(Response::REASON_WRONG_SIGNATURE, "dev1", "mod1", vectors::kDeviceByModule);
}

TEST_F(AuthenticatorTest, ModuleWithoutKeysOfItsOwnUsesItsDevices) {
  identities_["dev1/mod1"].primary_key.clear();
  ExpectGranted("dev1", "mod1", vectors::kModuleByDevice);
  ExpectDenied(Response::REASON_WRONG_SIGNATURE, "dev1", "mod1", vectors::kModule);
}

TEST_F(AuthenticatorTest, UnknownDisabledAndModuleOfADisabledDeviceAreOut) {
  ExpectDenied(Response::REASON_UNKNOWN_IDENTITY, "nobody", "", vectors::kUpperHex);
  ExpectDenied(Response::REASON_UNKNOWN_IDENTITY, "dev1", "mod2", vectors::kUpperHex);
  identities_["dev1"].enabled = false;
  ExpectDenied(Response::REASON_IDENTITY_DISABLED, "dev1", "", vectors::kUpperHex);
  ExpectDenied(Response::REASON_IDENTITY_DISABLED, "dev1", "mod1", vectors::kModule);
}

TEST_F(AuthenticatorTest, IdsOfOddCharactersWorkHoweverTheyWereEncoded) {
  ExpectGranted("a%b+?'", "", vectors::kOddId);
  ExpectGranted("a%b+?'", "", vectors::kOddIdOnce);
}

TEST_F(AuthenticatorTest, OneChangedBitIsAWrongSignature) {
  std::string token = vectors::kUpperHex;
  token[token.find("sig=") + 4] = 'l';
  const Verdict verdict = Judge("dev1", "", token);
  EXPECT_EQ(verdict.reason, Response::REASON_WRONG_SIGNATURE);
  EXPECT_THAT(verdict.detail, Not(HasSubstr("P33c6")));
  std::string longer = vectors::kUpperHex;
  longer.replace(longer.find("se=1800003600"), 13, "se=1900003600");
  ExpectDenied(Response::REASON_WRONG_SIGNATURE, "dev1", "", longer);
}

TEST_F(AuthenticatorTest, NoPasswordNoTokenAndCertificateOnlySayWhich) {
  ExpectDenied(Response::REASON_NO_CREDENTIAL, "dev1", "", "");
  ExpectDenied(Response::REASON_MALFORMED_TOKEN, "dev1", "", "secret");
  const Verdict verdict =
      authenticator_.Judge({.device_id = "dev1", .certificate_chain = {"a certificate"}}, identities_, now_);
  EXPECT_EQ(verdict.reason, Response::REASON_CREDENTIAL_KIND);
}

}  // namespace
}  // namespace holdfast::auth
