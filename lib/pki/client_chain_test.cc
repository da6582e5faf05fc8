#include "lib/pki/client_chain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/pki/test_certificate.h"

namespace holdfast::pki {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

TestRecipe Ca(const std::string& name, const TestCertificate* issuer = nullptr) {
  return {.common_names = {name},
          .not_before = kNow - absl::Hours(24 * 365),
          .not_after = kNow + absl::Hours(24 * 365),
          .issuer = issuer,
          .extensions = {{"basicConstraints", "critical,CA:TRUE"}, {"keyUsage", "critical,keyCertSign"}}};
}

class ClientChainTest : public ::testing::Test {
 protected:
  absl::StatusOr<absl::Time> Verify(const std::vector<Certificate>& chain, absl::Time now = kNow) {
    return ClientAuthorities::Create({root_.certificate})->Verify(chain, now);
  }
  Certificate Leaf(const TestCertificate& issuer, std::vector<std::pair<std::string, std::string>> extensions = {}) {
    return MakeTestCertificate({.issuer = &issuer, .extensions = std::move(extensions)}).certificate;
  }

  const TestCertificate root_ = MakeTestCertificate(Ca("root"));
  const TestCertificate middle_ = MakeTestCertificate(Ca("middle", &root_));
  const TestCertificate stranger_ = MakeTestCertificate(Ca("root"));  // of the same name, with another key
};

TEST_F(ClientChainTest, LeafOfATrustedCaIsGoodUntilTheFirstOfThePathEnds) {
  EXPECT_EQ(*Verify({Leaf(root_)}), absl::FromUnixSeconds(1'801'000'000));
  TestRecipe short_lived = Ca("short", &root_);
  short_lived.not_after = kNow + absl::Hours(1);
  const TestCertificate soon_over = MakeTestCertificate(short_lived);
  EXPECT_EQ(*Verify({Leaf(soon_over), soon_over.certificate}), kNow + absl::Hours(1));
}

TEST_F(ClientChainTest, IntermediatesComeFromTheClientOnly) {
  EXPECT_TRUE(Verify({Leaf(middle_), middle_.certificate}).ok());
  EXPECT_TRUE(Verify({Leaf(middle_), root_.certificate, middle_.certificate}).ok()) << "in any order";
  EXPECT_EQ(Verify({Leaf(middle_)}).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(ClientChainTest, IntermediateThatIsTrustedItselfIsEnough) {
  const auto only_middle = *ClientAuthorities::Create({middle_.certificate});
  EXPECT_TRUE(only_middle.Verify({Leaf(middle_)}, kNow).ok());
  EXPECT_FALSE(only_middle.Verify({Leaf(root_), root_.certificate}, kNow).ok());
}

TEST_F(ClientChainTest, StrangersAreRefused) {
  EXPECT_FALSE(Verify({Leaf(stranger_)}).ok());
  EXPECT_FALSE(Verify({Leaf(stranger_), stranger_.certificate}).ok()) << "it sends its own root";
  EXPECT_FALSE(Verify({MakeTestCertificate({}).certificate}).ok()) << "self-signed";
  EXPECT_FALSE(Verify({}).ok());
}

TEST_F(ClientChainTest, LeafIsNoCaAndForClients) {
  EXPECT_THAT(std::string(Verify({middle_.certificate}).status().message()), HasSubstr("CA"));
  EXPECT_TRUE(Verify({Leaf(root_, {{"extendedKeyUsage", "clientAuth"}})}).ok());
  EXPECT_TRUE(Verify({Leaf(root_, {{"extendedKeyUsage", "serverAuth,clientAuth"}})}).ok());
  EXPECT_FALSE(Verify({Leaf(root_, {{"extendedKeyUsage", "serverAuth"}})}).ok());
}

TEST_F(ClientChainTest, DeviceThatActsAsACaIsRefused) {
  const TestCertificate device =
      MakeTestCertificate({.issuer = &root_, .extensions = {{"basicConstraints", "CA:FALSE"}}});
  EXPECT_FALSE(Verify({Leaf(device), device.certificate}).ok());
}

TEST_F(ClientChainTest, DatesOfTheWholePathCount) {
  const Certificate leaf = Leaf(root_);
  EXPECT_EQ(Verify({leaf}, absl::FromUnixSeconds(1'801'000'001)).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Verify({leaf}, absl::FromUnixSeconds(1'798'999'999)).status().code(), absl::StatusCode::kOutOfRange);
  TestRecipe over = Ca("over", &root_);
  over.not_after = kNow - absl::Hours(1);
  const TestCertificate old = MakeTestCertificate(over);
  EXPECT_EQ(Verify({Leaf(old), old.certificate}).status().code(), absl::StatusCode::kOutOfRange);
}

TEST_F(ClientChainTest, CommonNameIsTheOnlyOne) {
  EXPECT_EQ(CommonName(MakeTestCertificate({}).certificate), "dev1");
  EXPECT_EQ(CommonName(MakeTestCertificate({.common_names = {}}).certificate), "");
  EXPECT_EQ(CommonName(MakeTestCertificate({.common_names = {"dev1", "dev2"}}).certificate), "");
  const std::string with_nul("dev1\0.evil", 10);
  EXPECT_EQ(CommonName(MakeTestCertificate({.common_names = {with_nul}}).certificate), with_nul);
}

}  // namespace
}  // namespace holdfast::pki
