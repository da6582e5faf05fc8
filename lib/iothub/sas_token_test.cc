#include "lib/iothub/sas_token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "lib/iothub/sas_vectors.h"

namespace holdfast::iothub {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string KeyFrom(int first) {
  std::string key(32, '\0');
  std::iota(key.begin(), key.end(), static_cast<char>(first));
  return key;
}
const std::string kPrimary = KeyFrom(0);

std::string With(std::string_view fields) {
  return "SharedAccessSignature " + std::string(fields);
}
constexpr char kSig[] = "sig=kP33c6uJt1YsyZSTKGsT%2BhU8A4BApH4XTb1koUcDDj0%3D";

TEST(SasTokenTest, SignatureIsOverTheBytesAsSentWhateverTheirCase) {
  for (const char* text : {vectors::kUpperHex, vectors::kLowerHex, vectors::kNotEncoded, vectors::kFraction}) {
    const auto token = ParseSasToken(text);
    ASSERT_TRUE(token.ok()) << text << token.status();
    EXPECT_EQ(token->resource, "hub.example/devices/dev1");
    EXPECT_TRUE(IsSignedWith(*token, kPrimary)) << text;
    EXPECT_FALSE(IsSignedWith(*token, KeyFrom(1)));
    EXPECT_FALSE(IsSignedWith(*token, ""));
  }
}

TEST(SasTokenTest, FieldOrderAndCaseOfNamesAreFreeAndPolicyIsRead) {
  const auto token = ParseSasToken(vectors::kPolicyOtherOrder);
  ASSERT_TRUE(token.ok());
  EXPECT_EQ(token->policy, "iothubowner");
  EXPECT_TRUE(IsSignedWith(*token, kPrimary));
  EXPECT_EQ(ParseSasToken(vectors::kEmptyPolicy)->policy, "");
  std::string upper = vectors::kUpperHex;
  upper.replace(upper.find("sr="), 3, "SR=");
  upper.replace(upper.find("&se="), 4, "&Se=");
  EXPECT_TRUE(IsSignedWith(*ParseSasToken(upper), kPrimary));
  EXPECT_TRUE(IsSignedWith(*ParseSasToken(std::string(vectors::kUpperHex) + "&new=1"), kPrimary));
}

TEST(SasTokenTest, ExpiryHasFiveMinutesOfGrace) {
  const auto token = ParseSasToken(vectors::kUpperHex);
  const absl::Time end = absl::FromUnixSeconds(1'800'003'600);
  EXPECT_EQ(token->expiry, end);
  EXPECT_FALSE(IsExpired(*token, end + absl::Minutes(4)));
  EXPECT_FALSE(IsExpired(*token, end + absl::Minutes(5)));
  EXPECT_TRUE(IsExpired(*token, end + absl::Minutes(5) + absl::Seconds(1)));
  EXPECT_TRUE(IsExpired(*token, end + absl::Minutes(6)));
  EXPECT_EQ(ParseSasToken(vectors::kFraction)->expiry, end + absl::Milliseconds(750));
}

TEST(SasTokenTest, WhatIsNoTokenIsRefusedWithoutShowingTheSignature) {
  const std::string sr = "sr=h%2Fdevices%2Fd", se = "se=1800003600";
  const std::string sig = kSig;
  const std::string bad[] = {
      "",
      "SharedAccessSignature",
      "SharedAccessSignature ",
      "sharedaccesssignature " + sr + "&" + sig + "&" + se,
      "SharedAccessSignature  " + sr + "&" + sig + "&" + se,
      "SharedAccessSignature\n" + sr + "&" + sig + "&" + se,
      " " + With(sr + "&" + sig + "&" + se),
      With(sr + "&" + sig + "&" + se + " "),
      With(sr + "&" + sig),
      With(sr + "&" + se),
      With(sig + "&" + se),
      With(sr + "&" + sig + "&" + se + "&" + se),
      With(sr + "&" + sig + "&" + se + "&"),
      With(sr + "&" + sig + "&se="),
      With(sr + "&" + sig + "&se=tomorrow"),
      With(sr + "&" + sig + "&se=nan"),
      With(sr + "&" + sig + "&se=inf"),
      With(sr + "&" + sig + "&se=1800003600x"),
      With("sr=h%2&" + sig + "&" + se),
      With("sr=h%zz&" + sig + "&" + se),
      With(sr + "&sig=&" + se),
      With(sr + "&sig=!!!!&" + se),
      With(sr + "&sig=AAAA&" + se),
      With(std::string(kTokenBytesMax, 'x')),
  };
  for (const std::string& text : bad) {
    const auto token = ParseSasToken(text);
    EXPECT_EQ(token.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(token.status().message()), Not(HasSubstr("kP33c6"))) << text;
  }
}

TEST(SasTokenTest, ExpiryOutOfAnyRangeIsNoCrash) {
  const std::string start = With(std::string("sr=h%2Fdevices%2Fd&") + kSig + "&se=");
  EXPECT_EQ(ParseSasToken(start + "-5")->expiry, absl::UnixEpoch());
  EXPECT_EQ(ParseSasToken(start + "1e300")->expiry, absl::FromUnixSeconds(253'402'300'799));
}

TEST(SasTokenTest, SignatureWithoutUrlEncodedPaddingIsRead) {
  std::string text = vectors::kUpperHex;
  text.replace(text.find("%3D"), 3, "=");
  EXPECT_TRUE(IsSignedWith(*ParseSasToken(text), kPrimary));
}

TEST(AudienceTest, HasThreeOrFiveParts) {
  const auto device = ParseAudience("h/devices/d");
  ASSERT_TRUE(device.ok());
  EXPECT_EQ(device->host, "h");
  EXPECT_EQ(device->device_id, "d");
  EXPECT_EQ(device->module_id, "");
  EXPECT_EQ(ParseAudience("h/devices/d/modules/m")->module_id, "m");
  for (const char* bad : {"", "h", "h/devices", "h/devices/d/", "h/devices/d/messages", "h/devices/d/messages/events",
                          "h/devices/d/modules", "h/devices/d/modules/m/x", "/devices/d", "h/devices/", "h/things/d"}) {
    EXPECT_FALSE(ParseAudience(bad).ok()) << bad;
  }
}

TEST(AudienceTest, IdsAreComparedDecodedAndIgnoringCase) {
  EXPECT_TRUE(NamesId("Dev1", "dEV1"));
  EXPECT_TRUE(NamesId("a%25b", "a%b"));
  EXPECT_TRUE(NamesId("a%b", "a%b"));
  EXPECT_TRUE(NamesId("a+b", "a+b"));
  EXPECT_FALSE(NamesId("dev1", "dev2"));
  EXPECT_FALSE(NamesId("dev1", "dev11"));
  EXPECT_FALSE(NamesId("dev11", "dev1"));
}

}  // namespace
}  // namespace holdfast::iothub
