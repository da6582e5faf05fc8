#include "lib/pki/envelope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/cms.h>

#include "lib/pki/openssl.h"

namespace holdfast::pki {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Recipient {
  PrivateKey key = *PrivateKey::Generate();
  Certificate certificate = *MakeRecipientCertificate(key, "auth", Floor(), absl::Hours(1));
};

TEST(EnvelopeTest, OnlyTheRecipientReadsIt) {
  const Recipient to, other;
  const std::string secret(5 << 20, 's');
  const auto sealed = SealEnvelope(to.certificate, secret);
  ASSERT_TRUE(sealed.ok()) << sealed.status();
  EXPECT_LT(sealed->size(), secret.size() + kEnvelopeOverheadBytesMax);
  EXPECT_THAT(*sealed, Not(HasSubstr("ssssssss")));
  EXPECT_EQ(*OpenEnvelope(to.certificate, to.key, *sealed), secret);
  EXPECT_EQ(OpenEnvelope(other.certificate, other.key, *sealed).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(*OpenEnvelope(to.certificate, to.key, *SealEnvelope(to.certificate, "")), "");
}

// Nothing else than what was sealed ever comes out.
TEST(EnvelopeTest, NoByteCanBeChanged) {
  const Recipient to;
  const std::string sealed = *SealEnvelope(to.certificate, "a page with keys");
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 0x01);
    const auto opened = OpenEnvelope(to.certificate, to.key, changed);
    EXPECT_EQ(opened.value_or("a page with keys"), "a page with keys") << i;
  }
  // The ciphertext and its tag are the last 32 bytes but for the framing.
  std::string changed = sealed;
  changed.back() = static_cast<char>(changed.back() ^ 0x01);
  EXPECT_EQ(OpenEnvelope(to.certificate, to.key, changed).status().code(), absl::StatusCode::kInvalidArgument);
  for (const size_t size : {size_t{0}, size_t{1}, sealed.size() / 2, sealed.size() - 1}) {
    EXPECT_FALSE(OpenEnvelope(to.certificate, to.key, sealed.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(OpenEnvelope(to.certificate, to.key, sealed + "x").ok());
}

TEST(EnvelopeTest, EnvelopeWithoutAuthenticationIsRefused) {
  const Recipient to;
  STACK_OF(X509)* certificates = sk_X509_new_null();
  sk_X509_push(certificates, to.certificate.get());
  const BioPtr in = ReadOnlyBio("a page with keys");
  CMS_ContentInfo* cms = CMS_encrypt(certificates, in.get(), EVP_aes_256_cbc(), CMS_BINARY);
  sk_X509_free(certificates);
  ASSERT_NE(cms, nullptr);
  const BioPtr out(BIO_new(BIO_s_mem()));
  i2d_CMS_bio(out.get(), cms);
  CMS_ContentInfo_free(cms);
  EXPECT_EQ(OpenEnvelope(to.certificate, to.key, Content(out.get())).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace holdfast::pki
