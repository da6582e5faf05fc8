#include "lib/pki/private_key.h"

#include <fmt/format.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include "lib/base/status.h"
#include "lib/pki/file.h"
#include "lib/pki/openssl.h"

namespace holdfast::pki {
namespace {

// An encrypted key must fail, not ask on the terminal.
int NoPassword(char*, int, int, void*) {
  return -1;
}

}  // namespace

absl::StatusOr<PrivateKey> PrivateKey::Generate() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  if (key == nullptr) return absl::InternalError(fmt::format("can't make a key: {}", OpenSslError()));
  return PrivateKey(std::shared_ptr<evp_pkey_st>(key, EVP_PKEY_free));
}

absl::StatusOr<PrivateKey> PrivateKey::FromPem(std::string_view pem) {
  const BioPtr bio = ReadOnlyBio(pem);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, nullptr);
  if (key == nullptr) {
    return absl::InvalidArgumentError(fmt::format("not a PEM private key without password ({})", OpenSslError()));
  }
  return PrivateKey(std::shared_ptr<evp_pkey_st>(key, EVP_PKEY_free));
}

absl::StatusOr<PrivateKey> PrivateKey::FromFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string pem, ReadSecretFile(path));
  auto key = FromPem(pem);
  if (!key.ok()) return Annotate(key.status(), path);
  return key;
}

std::string PrivateKey::ToPem() const {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) return "";
  return Content(bio.get());
}

}  // namespace holdfast::pki
