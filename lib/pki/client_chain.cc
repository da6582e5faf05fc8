#include "lib/pki/client_chain.h"

#include <fmt/format.h>
#include <openssl/x509_vfy.h>

#include <algorithm>

#include "lib/pki/openssl.h"

namespace holdfast::pki {
namespace {

using StoreCtxPtr = std::unique_ptr<X509_STORE_CTX, Free<X509_STORE_CTX_free>>;

constexpr int kSecurityLevel = 1;  // OpenSSL's: 80 bits; no MD5, no RSA below 1,024 bit, no SHA-1 signatures
constexpr int kDepthMax = 8;       // CAs between the leaf and an authority

struct FreeStack {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }  // not what is in it
};
using StackPtr = std::unique_ptr<STACK_OF(X509), FreeStack>;

}  // namespace

absl::StatusOr<ClientAuthorities> ClientAuthorities::Create(const std::vector<Certificate>& authorities) {
  const std::shared_ptr<X509_STORE> store(X509_STORE_new(), X509_STORE_free);
  for (const Certificate& authority : authorities) {
    if (X509_STORE_add_cert(store.get(), authority.get()) != 1) {
      return absl::InternalError(fmt::format("can't take a CA certificate: {}", OpenSslError()));
    }
  }
  X509_VERIFY_PARAM* parameters = X509_STORE_get0_param(store.get());
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_purpose(parameters, X509_PURPOSE_SSL_CLIENT);
  X509_VERIFY_PARAM_set_auth_level(parameters, kSecurityLevel);
  X509_VERIFY_PARAM_set_depth(parameters, kDepthMax);
  return ClientAuthorities(store);
}

absl::StatusOr<absl::Time> ClientAuthorities::Verify(const std::vector<Certificate>& chain, absl::Time now) const {
  if (chain.empty()) return absl::PermissionDeniedError("no certificate");
  X509* leaf = chain.front().get();
  if (X509_check_ca(leaf) != 0) return absl::PermissionDeniedError("the certificate is that of a CA");
  const StackPtr sent(sk_X509_new_null());
  for (size_t i = 1; i < chain.size(); ++i) sk_X509_push(sent.get(), chain[i].get());
  const StoreCtxPtr context(X509_STORE_CTX_new());
  if (context == nullptr ||
      X509_STORE_CTX_init(context.get(), static_cast<X509_STORE*>(store_.get()), leaf, sent.get()) != 1) {
    return absl::InternalError(fmt::format("can't look at a certificate: {}", OpenSslError()));
  }
  X509_STORE_CTX_set_time(context.get(), 0, absl::ToTimeT(now));
  const bool ok = X509_verify_cert(context.get()) == 1;
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (!ok && (error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID)) {
    return absl::OutOfRangeError(X509_verify_cert_error_string(error));
  }
  if (!ok) return absl::PermissionDeniedError(X509_verify_cert_error_string(error));
  absl::Time end = absl::InfiniteFuture();
  STACK_OF(X509)* path = X509_STORE_CTX_get0_chain(context.get());
  for (int i = 0; i < sk_X509_num(path); ++i) {
    X509* certificate = sk_X509_value(path, i);
    X509_up_ref(certificate);
    end = std::min(end, Certificate(std::shared_ptr<X509>(certificate, X509_free)).not_after());
  }
  return end;
}

std::string CommonName(const Certificate& certificate) {
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (index < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, index) >= 0) return "";
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
  if (size < 0) return "";
  std::string name(reinterpret_cast<const char*>(text), static_cast<size_t>(size));
  OPENSSL_free(text);
  return name;
}

}  // namespace holdfast::pki
