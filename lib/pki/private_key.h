#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

struct evp_pkey_st;  // OpenSSL's EVP_PKEY

namespace holdfast::pki {

// A private key. Copies share one key; immutable, thread-safe. Never printed; ToPem() is for its file only.
class PrivateKey {
 public:
  // A fresh key on the curve P-256.
  static absl::StatusOr<PrivateKey> Generate();

  // PEM, not encrypted. INVALID_ARGUMENT otherwise.
  static absl::StatusOr<PrivateKey> FromPem(std::string_view pem);

  // A file with FromPem's content and ReadSecretFile's rules. The error names the file.
  static absl::StatusOr<PrivateKey> FromFile(const std::string& path);

  // PKCS #8, not encrypted.
  std::string ToPem() const;

  evp_pkey_st* get() const { return key_.get(); }

 private:
  explicit PrivateKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}
  std::shared_ptr<evp_pkey_st> key_;
};

}  // namespace holdfast::pki
