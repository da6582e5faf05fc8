#include "services/auth/provisioning_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/testing/temp_dir.h"

namespace holdfast::auth {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kKey[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

std::string ErrorOf(const std::string& text) {
  const auto file = ParseProvisioningFile(text, "identities.toml");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(file.status().message());
}
std::string One(const std::string& more) {
  return fmt::format("[[identity]]\ndevice_id = \"dev1\"\nprimary_key = \"{}\"\n{}", kKey, more);
}

TEST(ProvisioningFileTest, ReadsDevicesAndModules) {
  const auto file = ParseProvisioningFile(One("secondary_key = \"AAECAwQFBgcICQoLDA0ODw==\"\nstatus = \"disabled\"\n"
                                              "[[identity]]\ndevice_id = \"dev1\"\nmodule_id = \"mod1\"\n"),
                                          "identities.toml");
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->identities.size(), 2u);
  const Identity& device = file->identities.at("dev1");
  EXPECT_FALSE(device.enabled);
  EXPECT_EQ(device.primary_key.size(), 32u);
  EXPECT_EQ(device.secondary_key.size(), 16u);
  EXPECT_TRUE(file->identities.at("dev1/mod1").enabled);
}

TEST(ProvisioningFileTest, EveryErrorNamesFileAndLine) {
  EXPECT_THAT(
      ErrorOf(One("devcie = 1\n")),
      AllOf(HasSubstr("identities.toml:4: [[identity]] devcie is not a known key"), HasSubstr("known: device_id")));
  EXPECT_THAT(ErrorOf(One("status = \"on\"\n")), HasSubstr("identities.toml:4: [[identity]] status: must be"));
  EXPECT_THAT(ErrorOf(One("status = true\n")), HasSubstr("identities.toml:4"));
  EXPECT_THAT(ErrorOf("[[identity]]\ndevice_id = \"a/b\"\n"),
              HasSubstr("identities.toml:2: [[identity]] device_id: must have"));
  EXPECT_THAT(ErrorOf("[[identity]]\ndevice_id = \"" + std::string(129, 'a') + "\"\n"), HasSubstr("identities.toml:2"));
  EXPECT_THAT(ErrorOf("\n[[identity]]\ndevice_id = \"d\"\n"),
              HasSubstr("identities.toml:2: [[identity]] primary_key is missing for d"));
  EXPECT_THAT(ErrorOf(std::string("[[identity]]\nprimary_key = \"") + kKey + "\"\n"),
              HasSubstr("device_id is missing"));
  EXPECT_THAT(ErrorOf(One("") + One("")), HasSubstr("identities.toml:4: [[identity]] dev1 is there twice"));
  EXPECT_THAT(ErrorOf("[[identities]]\n"), HasSubstr("identities.toml:1: \"identities\" is not known here"));
  EXPECT_THAT(ErrorOf("identity = 3\n"), HasSubstr("identities.toml:1"));
  EXPECT_THAT(ErrorOf("identity = [3]\n"), HasSubstr("identities.toml:1"));
  EXPECT_THAT(ErrorOf("[[identity]]\ndevice_id = = 1\n"), HasSubstr("identities.toml:2"));
}

TEST(ProvisioningFileTest, BadKeyIsNotShown) {
  const std::string error = ErrorOf("[[identity]]\ndevice_id = \"d\"\nprimary_key = \"c2VjcmV0\"\n");
  EXPECT_THAT(error,
              AllOf(HasSubstr("identities.toml:3: [[identity]] primary_key: must be the base64 of 16 to 64 bytes"),
                    Not(HasSubstr("c2VjcmV0"))));
}

TEST(ProvisioningFileTest, DeviceMayHaveACertificateInsteadOfKeys) {
  const std::string sha1(40, 'A'), sha256(64, 'b');
  const auto file =
      ParseProvisioningFile(fmt::format("[[identity]]\ndevice_id = \"self\"\nthumbprints = [\"{}\", \"{}\"]\n"
                                        "[[identity]]\ndevice_id = \"ca\"\nca_signed = true\n",
                                        sha1, sha256),
                            "f");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->identities.at("self").credential, Credential::kSelfSigned);
  EXPECT_EQ(file->identities.at("self").primary_thumbprint, std::string(40, 'a'));
  EXPECT_EQ(file->identities.at("self").secondary_thumbprint, sha256);
  EXPECT_EQ(file->identities.at("ca").credential, Credential::kCaSigned);
  const std::string device = "[[identity]]\ndevice_id = \"d\"\n";
  EXPECT_THAT(ErrorOf(device + "thumbprints = []\n"), HasSubstr("one or two"));
  EXPECT_THAT(ErrorOf(device + "thumbprints = [\"12\"]\n"), HasSubstr("40 or 64"));
  EXPECT_THAT(ErrorOf(device + "ca_signed = 1\n"), HasSubstr("true or false"));
  EXPECT_THAT(ErrorOf(device + "ca_signed = true\nthumbprints = [\"" + sha1 + "\"]\n"), HasSubstr("more than one"));
  EXPECT_THAT(ErrorOf(device + "ca_signed = true\nprimary_key = \"" + kKey + "\"\n"), HasSubstr("more than one"));
  EXPECT_THAT(ErrorOf(device + "module_id = \"m\"\nca_signed = true\n"), HasSubstr("modules have keys only"));
}

TEST(ProvisioningFileTest, ChangedTextHasAnotherHashAndMissingFileIsNotFound) {
  EXPECT_NE(ParseProvisioningFile(One(""), "")->hash, ParseProvisioningFile(One("#\n"), "")->hash);
  TempDir dir;
  EXPECT_EQ(ReadProvisioningFile(dir / "none.toml").status().code(), absl::StatusCode::kNotFound);
}

TEST(ProvisioningFileTest, AsManyIdentitiesAsAGatewayTakesAndNoMore) {
  std::string text;
  for (size_t i = 0; i < kIdentitiesMax; ++i)
    text += fmt::format("[[identity]]\ndevice_id = \"d{}\"\nprimary_key = \"{}\"\n", i, kKey);
  EXPECT_EQ(ParseProvisioningFile(text, "")->identities.size(), kIdentitiesMax);
  EXPECT_THAT(ErrorOf(text + One("")), HasSubstr(fmt::format("more than {} identities", kIdentitiesMax)));
}

}  // namespace
}  // namespace holdfast::auth
