#include "lib/seal/aes_gcm.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/escaping.h"

namespace holdfast::seal {
namespace {

std::string FromHex(const char* hex) {
  return absl::HexStringToBytes(hex);
}

// Test case 16 of McGrew and Viega, "The Galois/Counter Mode of Operation": a key of 256 bits, associated data, and a
// plaintext that is no whole number of blocks.
const std::string kKey = FromHex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
const std::string kNonce = FromHex("cafebabefacedbaddecaf888");
const std::string kBound = FromHex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
const std::string kPlaintext = FromHex(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657"
    "ba637b39");
const std::string kSealed = FromHex(
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a"
    "bcc9f66276fc6ece0f4e1768cddf8853bb2d551b");

TEST(AesGcmTest, GivesThePublishedVector) {
  std::string sealed(kPlaintext.size() + kTagBytes, '\0');
  ASSERT_TRUE(Encrypt(kKey, kNonce, {kBound}, kPlaintext, sealed.data()));
  EXPECT_EQ(sealed, kSealed);
  std::string opened(kPlaintext.size(), '\0');
  ASSERT_TRUE(Decrypt(kKey, kNonce, {kBound}, kSealed, opened.data()));
  EXPECT_EQ(opened, kPlaintext);
}

TEST(AesGcmTest, PartsOfTheBoundDataAreOneText) {
  std::string opened(kPlaintext.size(), '\0');
  const std::string_view bound = kBound;
  EXPECT_TRUE(Decrypt(kKey, kNonce, {bound.substr(0, 3), "", bound.substr(3)}, kSealed, opened.data()));
  EXPECT_FALSE(Decrypt(kKey, kNonce, {bound.substr(3)}, kSealed, opened.data()));
}

TEST(AesGcmTest, EmptyTextHasATagToo) {
  std::string sealed(kTagBytes, '\0');
  ASSERT_TRUE(Encrypt(kKey, kNonce, {kBound}, "", sealed.data()));
  char nothing = 0;
  EXPECT_TRUE(Decrypt(kKey, kNonce, {kBound}, sealed, &nothing));
  EXPECT_FALSE(Decrypt(kKey, kNonce, {}, sealed, &nothing));
}

TEST(AesGcmTest, AnyChangedByteIsNoticed) {
  std::string opened(kPlaintext.size(), '\0');
  for (size_t i = 0; i < kSealed.size(); ++i) {
    std::string changed = kSealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(Decrypt(kKey, kNonce, {kBound}, changed, opened.data())) << i;
  }
  EXPECT_FALSE(Decrypt(kKey, kNonce, {kBound}, kSealed.substr(0, kTagBytes - 1), opened.data()));
}

TEST(AesGcmTest, KeysAndNoncesOfAnotherSizeAreRefused) {
  std::string out(kSealed.size(), '\0');
  EXPECT_FALSE(Encrypt(kKey.substr(1), kNonce, {}, "x", out.data()));
  EXPECT_FALSE(Encrypt(kKey, kNonce + "x", {}, "x", out.data()));
  EXPECT_FALSE(Decrypt(kKey.substr(1), kNonce, {kBound}, kSealed, out.data()));
  EXPECT_FALSE(Decrypt(kKey, kNonce + "x", {kBound}, kSealed, out.data()));
}

}  // namespace
}  // namespace holdfast::seal
