#include "lib/pki/test_certificate.h"

#include <cstdlib>

#include "lib/pki/openssl.h"

namespace holdfast::pki {

TestCertificate MakeTestCertificate(const TestRecipe& recipe) {
  static long serial = 1;
  PrivateKey key = *PrivateKey::Generate();
  X509Ptr made(X509_new());
  X509_set_version(made.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), serial++);
  ASN1_TIME_set(X509_getm_notBefore(made.get()), absl::ToTimeT(recipe.not_before));
  ASN1_TIME_set(X509_getm_notAfter(made.get()), absl::ToTimeT(recipe.not_after));
  X509_NAME* subject = X509_get_subject_name(made.get());
  for (const std::string& name : recipe.common_names) {
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.data()),
                               static_cast<int>(name.size()), -1, 0);
  }
  X509_set_pubkey(made.get(), key.get());
  X509* issuer = recipe.issuer == nullptr ? made.get() : recipe.issuer->certificate.get();
  X509_set_issuer_name(made.get(), X509_get_subject_name(issuer));
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, made.get(), nullptr, nullptr, 0);
  for (const auto& [name, text] : recipe.extensions) {
    X509_EXTENSION* extension = X509V3_EXT_conf(nullptr, &context, name.c_str(), text.c_str());
    if (extension == nullptr) std::abort();
    X509_add_ext(made.get(), extension, -1);
    X509_EXTENSION_free(extension);
  }
  const PrivateKey& issuer_key = recipe.issuer == nullptr ? key : recipe.issuer->key;
  if (X509_sign(made.get(), issuer_key.get(), EVP_sha256()) == 0) std::abort();
  return {.key = key, .certificate = Certificate(std::shared_ptr<X509>(made.release(), X509_free))};
}

std::string ToDer(const Certificate& certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate.get(), &der);
  std::string bytes(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

}  // namespace holdfast::pki
