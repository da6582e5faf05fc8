#include "services/auth/workload_secret.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <cstdlib>
#include <memory>
#include <utility>

#include "lib/base/status.h"

namespace holdfast::auth {
namespace {

constexpr char kFormat = 1;
constexpr size_t kSaltBytes = 16;
constexpr size_t kTagBytes = 16;
constexpr size_t kKeyBytes = 32;
constexpr size_t kNonceBytes = 12;
static_assert(kWorkloadOverheadBytes == 1 + kSaltBytes + kTagBytes);

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* c) const { EVP_CIPHER_CTX_free(c); }
  void operator()(EVP_KDF* k) const { EVP_KDF_free(k); }
  void operator()(EVP_KDF_CTX* c) const { EVP_KDF_CTX_free(c); }
};
using CipherPtr = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

const unsigned char* Bytes(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}
unsigned char* Bytes(std::string& s) {
  return reinterpret_cast<unsigned char*>(s.data());
}

void AppendWithLength(std::string_view part, std::string* out) {
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<char>(uint64_t{part.size()} >> shift));
  out->append(part);
}

// What a ciphertext is bound to.
std::string Binding(const WorkloadOwner& owner, std::string_view initialization_vector) {
  std::string binding = "holdfast workload";
  binding.push_back(kFormat);
  AppendWithLength(owner.module_id, &binding);
  AppendWithLength(owner.generation_id, &binding);
  AppendWithLength(initialization_vector, &binding);
  return binding;
}

// kKeyBytes of key, then kNonceBytes; empty if OpenSSL fails.
std::string Derive(const std::string& secret, std::string_view salt, std::string_view binding) {
  const std::unique_ptr<EVP_KDF, FreeContext> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  const std::unique_ptr<EVP_KDF_CTX, FreeContext> context(EVP_KDF_CTX_new(kdf.get()));
  char digest[] = "SHA256";
  const auto octets = [](const char* name, std::string_view value) {
    return OSSL_PARAM_construct_octet_string(name, const_cast<char*>(value.data()), value.size());
  };
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
                               octets(OSSL_KDF_PARAM_KEY, secret), octets(OSSL_KDF_PARAM_SALT, salt),
                               octets(OSSL_KDF_PARAM_INFO, binding), OSSL_PARAM_construct_end()};
  std::string out(kKeyBytes + kNonceBytes, '\0');
  if (EVP_KDF_derive(context.get(), Bytes(out), out.size(), params) != 1) return "";
  return out;
}

}  // namespace

std::string MakeWorkloadSecret() {
  std::string secret(kWorkloadSecretBytes, '\0');
  // Nothing else can be done: a secret that could be guessed is none.
  if (RAND_bytes(Bytes(secret), static_cast<int>(secret.size())) != 1) std::abort();
  return secret;
}

void WorkloadSecret::Set(std::string secret) {
  absl::MutexLock lock(&mutex_);
  secret_ = std::move(secret);
}

absl::StatusOr<std::string> WorkloadSecret::Get() const {
  absl::MutexLock lock(&mutex_);
  if (secret_.empty()) return absl::UnavailableError("the gateway has not read its secret from the store yet");
  return secret_;
}

absl::StatusOr<std::string> WorkloadSecret::Encrypt(const WorkloadOwner& owner, std::string_view initialization_vector,
                                                    std::string_view plaintext) const {
  ASSIGN_OR_RETURN(const std::string secret, Get());
  std::string out(kWorkloadOverheadBytes + plaintext.size(), '\0');
  out[0] = kFormat;
  unsigned char* salt = Bytes(out) + 1;
  if (RAND_bytes(salt, kSaltBytes) != 1) return absl::InternalError("the system has no randomness to give");
  const std::string binding = Binding(owner, initialization_vector);
  const std::string key = Derive(secret, std::string_view(out).substr(1, kSaltBytes), binding);
  unsigned char* text = salt + kSaltBytes;
  const CipherPtr context(EVP_CIPHER_CTX_new());
  int size = 0;
  const bool ok =
      !key.empty() &&
      EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Bytes(std::string_view(key)),
                         Bytes(std::string_view(key)) + kKeyBytes) == 1 &&
      EVP_EncryptUpdate(context.get(), nullptr, &size, Bytes(std::string_view(binding)),
                        static_cast<int>(binding.size())) == 1 &&
      EVP_EncryptUpdate(context.get(), text, &size, Bytes(plaintext), static_cast<int>(plaintext.size())) == 1 &&
      EVP_EncryptFinal_ex(context.get(), text + plaintext.size(), &size) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, text + plaintext.size()) == 1;
  if (!ok) return absl::InternalError("OpenSSL could not encrypt");
  return out;
}

absl::StatusOr<std::string> WorkloadSecret::Decrypt(const WorkloadOwner& owner, std::string_view initialization_vector,
                                                    std::string_view ciphertext) const {
  ASSIGN_OR_RETURN(const std::string secret, Get());
  const auto invalid = absl::InvalidArgumentError(
      "ciphertext: damaged, or not made by encrypt for this module, generation id and initializationVector");
  if (ciphertext.size() < kWorkloadOverheadBytes || ciphertext[0] != kFormat) return invalid;
  const std::string_view salt = ciphertext.substr(1, kSaltBytes);
  const std::string_view text = ciphertext.substr(1 + kSaltBytes, ciphertext.size() - kWorkloadOverheadBytes);
  std::string tag(ciphertext.substr(ciphertext.size() - kTagBytes));
  const std::string binding = Binding(owner, initialization_vector);
  const std::string key = Derive(secret, salt, binding);
  if (key.empty()) return absl::InternalError("OpenSSL could not derive a key");
  std::string plaintext(text.size(), '\0');
  const CipherPtr context(EVP_CIPHER_CTX_new());
  unsigned char no_more[kTagBytes];
  int size = 0;
  const bool ok =
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Bytes(std::string_view(key)),
                         Bytes(std::string_view(key)) + kKeyBytes) == 1 &&
      EVP_DecryptUpdate(context.get(), nullptr, &size, Bytes(std::string_view(binding)),
                        static_cast<int>(binding.size())) == 1 &&
      EVP_DecryptUpdate(context.get(), Bytes(plaintext), &size, Bytes(text), static_cast<int>(text.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(context.get(), no_more, &size) == 1;
  if (!ok) return invalid;
  return plaintext;
}

}  // namespace holdfast::auth
