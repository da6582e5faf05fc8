#include "lib/seal/aes_gcm.h"

#include <openssl/evp.h>

#include <array>
#include <memory>

namespace holdfast::seal {
namespace {

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* c) const { EVP_CIPHER_CTX_free(c); }
};
using ContextPtr = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

const unsigned char* Bytes(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}

}  // namespace

bool Encrypt(std::string_view key, std::string_view nonce, std::initializer_list<std::string_view> bound,
             std::string_view plaintext, char* out) {
  if (key.size() != kKeyBytes || nonce.size() != kNonceBytes || plaintext.size() > kTextBytesMax) return false;
  const ContextPtr context(EVP_CIPHER_CTX_new());
  auto* const text = reinterpret_cast<unsigned char*>(out);
  int size = 0;
  if (EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Bytes(key), Bytes(nonce)) != 1) return false;
  for (const std::string_view part : bound) {
    if (EVP_EncryptUpdate(context.get(), nullptr, &size, Bytes(part), static_cast<int>(part.size())) != 1) return false;
  }
  return EVP_EncryptUpdate(context.get(), text, &size, Bytes(plaintext), static_cast<int>(plaintext.size())) == 1 &&
         EVP_EncryptFinal_ex(context.get(), text + plaintext.size(), &size) == 1 &&
         EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, text + plaintext.size()) == 1;
}

bool Decrypt(std::string_view key, std::string_view nonce, std::initializer_list<std::string_view> bound,
             std::string_view sealed, char* out) {
  if (key.size() != kKeyBytes || nonce.size() != kNonceBytes) return false;
  if (sealed.size() < kTagBytes || sealed.size() - kTagBytes > kTextBytesMax) return false;
  const std::string_view ciphertext = sealed.substr(0, sealed.size() - kTagBytes);
  std::array<char, kTagBytes> tag{};
  sealed.copy(tag.data(), tag.size(), ciphertext.size());
  const ContextPtr context(EVP_CIPHER_CTX_new());
  unsigned char no_more[kTagBytes];
  int size = 0;
  if (EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Bytes(key), Bytes(nonce)) != 1) return false;
  for (const std::string_view part : bound) {
    if (EVP_DecryptUpdate(context.get(), nullptr, &size, Bytes(part), static_cast<int>(part.size())) != 1) return false;
  }
  return EVP_DecryptUpdate(context.get(), reinterpret_cast<unsigned char*>(out), &size, Bytes(ciphertext),
                           static_cast<int>(ciphertext.size())) == 1 &&
         EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
         EVP_DecryptFinal_ex(context.get(), no_more, &size) == 1;
}

}  // namespace holdfast::seal
