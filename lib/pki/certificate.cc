#include "lib/pki/certificate.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cctype>

#include "absl/strings/escaping.h"
#include "lib/base/status.h"
#include "lib/pki/file.h"
#include "lib/pki/openssl.h"

namespace holdfast::pki {
namespace {

constexpr size_t kCommonNameBytesMax = 64;  // RFC 5280, ub-common-name
constexpr size_t kNameBytesMax = 253;
constexpr int kSerialBytes = 16;
constexpr int kRsaBitsMin = 2048;
constexpr int kRsaBitsMax = 4096;
constexpr size_t kChainMax = 10;

absl::Status Failed(std::string_view what) {
  return absl::InternalError(fmt::format("can't make a certificate ({}): {}", what, OpenSslError()));
}

absl::Time FromAsn1(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return absl::InfinitePast();
  return absl::FromTimeT(::timegm(&parts));
}

std::string NameText(const X509_NAME* name) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  return Content(bio.get());
}

std::string Fingerprint(const X509* certificate, const EVP_MD* digest) {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(certificate, digest, bytes, &size) != 1) return "";
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(bytes), size));
}

std::string AddressText(const ASN1_OCTET_STRING* address) {
  char text[INET6_ADDRSTRLEN] = "";
  const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
  if (ASN1_STRING_length(address) != 4 && ASN1_STRING_length(address) != 16) return "";
  ::inet_ntop(family, ASN1_STRING_get0_data(address), text, sizeof text);
  return text;
}

std::vector<std::string> AlternativeNames(const X509* certificate) {
  const NamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> result;
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      const auto* data = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
      result.emplace_back(data, static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
    } else if (name->type == GEN_IPADD) {
      result.push_back(AddressText(name->d.iPAddress));
    }
  }
  return result;
}

bool IsAddress(const std::string& name) {
  unsigned char bytes[16];
  return ::inet_pton(AF_INET, name.c_str(), bytes) == 1 || ::inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

absl::Status CheckNames(const std::vector<std::string>& names) {
  if (names.empty() || names.size() > kNamesMax) {
    return absl::InvalidArgumentError(fmt::format("a server certificate needs 1 to {} names", kNamesMax));
  }
  for (const std::string& name : names) {
    const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
      return std::isalnum(c) || std::string_view("-._:*").find(static_cast<char>(c)) != std::string_view::npos;
    });
    if (name.empty() || name.size() > kNameBytesMax || !plain) {
      return absl::InvalidArgumentError(fmt::format("\"{}\" is not a host name or an IP address", name));
    }
  }
  return absl::OkStatus();
}

// What one certificate is made from. For a root, issuer is null and issuer_key its own key.
struct Recipe {
  EVP_PKEY* public_key;
  std::string common_name;
  absl::Time now;
  absl::Duration lifetime;
  const Certificate* issuer;
  const PrivateKey* issuer_key;
  std::vector<std::pair<int, std::string>> extensions;  // NID, OpenSSL's text form
};

absl::Status SetSerial(X509* certificate) {
  unsigned char bytes[kSerialBytes];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return Failed("serial");
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);  // positive, full length
  BIGNUM* number = BN_bin2bn(bytes, sizeof bytes, nullptr);
  const bool ok = number != nullptr && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(number);
  return ok ? absl::OkStatus() : Failed("serial");
}

absl::Status SetDates(X509* certificate, const Recipe& recipe) {
  absl::Time now = std::max(recipe.now, Floor());
  absl::Time end = now + recipe.lifetime;
  if (recipe.issuer != nullptr) {
    now = std::max(now, recipe.issuer->not_before() + kBackdate);
    end = std::min(now + recipe.lifetime, recipe.issuer->not_after());
  }
  if (ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(now - kBackdate)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(end)) == nullptr) {
    return Failed("dates");
  }
  return absl::OkStatus();
}

absl::Status AddExtensions(X509* certificate, X509* issuer, const Recipe& recipe) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  for (const auto& [nid, text] : recipe.extensions) {
    // A CA of the operator's may have no identifier to refer to.
    if (nid == NID_authority_key_identifier && X509_get0_subject_key_id(issuer) == nullptr) continue;
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, text.c_str());
    const bool ok = extension != nullptr && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    if (!ok) return Failed(OBJ_nid2sn(nid));
  }
  return absl::OkStatus();
}

absl::StatusOr<Certificate> Make(const Recipe& recipe) {
  if (recipe.common_name.empty()) return absl::InvalidArgumentError("a certificate needs a name");
  const std::string common_name = recipe.common_name.substr(0, kCommonNameBytesMax);
  X509Ptr certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  RETURN_IF_ERROR(SetSerial(certificate.get()));
  RETURN_IF_ERROR(SetDates(certificate.get(), recipe));
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  if (X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common_name.data()),
                                 static_cast<int>(common_name.size()), -1, 0) != 1 ||
      X509_set_pubkey(certificate.get(), recipe.public_key) != 1) {
    return Failed("subject");
  }
  X509* issuer = recipe.issuer == nullptr ? certificate.get() : recipe.issuer->get();
  if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer)) != 1) return Failed("issuer");
  RETURN_IF_ERROR(AddExtensions(certificate.get(), issuer, recipe));
  if (X509_sign(certificate.get(), recipe.issuer_key->get(), EVP_sha256()) == 0) return Failed("signature");
  return Certificate(std::shared_ptr<X509>(certificate.release(), X509_free));
}

absl::StatusOr<Certificate> MakeServer(EVP_PKEY* public_key, const std::vector<std::string>& names,
                                       const Certificate& issuer, const PrivateKey& issuer_key, absl::Time now,
                                       absl::Duration lifetime) {
  RETURN_IF_ERROR(CheckNames(names));
  std::string alternative_names;
  for (const std::string& name : names) {
    if (!alternative_names.empty()) alternative_names += ',';
    alternative_names += (IsAddress(name) ? "IP:" : "DNS:") + name;
  }
  return Make({.public_key = public_key,
               .common_name = names.front(),
               .now = now,
               .lifetime = lifetime,
               .issuer = &issuer,
               .issuer_key = &issuer_key,
               .extensions = {{NID_basic_constraints, "critical,CA:FALSE"},
                              {NID_key_usage, "critical,digitalSignature,keyEncipherment"},
                              {NID_ext_key_usage, "serverAuth"},
                              {NID_subject_key_identifier, "hash"},
                              {NID_authority_key_identifier, "keyid"},
                              {NID_subject_alt_name, alternative_names}}});
}

absl::Status CheckServerKey(EVP_PKEY* key) {
  char group[64] = "";
  const int bits = EVP_PKEY_get_bits(key);
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && bits >= kRsaBitsMin && bits <= kRsaBitsMax) return absl::OkStatus();
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) == 1) {
    const std::string_view name = group;
    if (name == "prime256v1" || name == "P-256" || name == "secp384r1" || name == "P-384") return absl::OkStatus();
  }
  return absl::InvalidArgumentError("the request's key must be P-256, P-384 or RSA of 2048 to 4096 bit");
}

}  // namespace

absl::Time Floor() {
  return absl::FromUnixSeconds(kFloorUnixSeconds);
}

absl::StatusOr<std::vector<Certificate>> Certificate::ChainFromPem(std::string_view pem) {
  const BioPtr bio = ReadOnlyBio(pem);
  std::vector<Certificate> chain;
  while (chain.size() < kChainMax) {
    X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr);
    if (certificate == nullptr) break;
    chain.emplace_back(std::shared_ptr<X509>(certificate, X509_free));
  }
  const unsigned long code = ERR_peek_last_error();
  const bool at_end = chain.size() == kChainMax || ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  const std::string error = OpenSslError();
  if (chain.empty() || !at_end) {
    return absl::InvalidArgumentError(fmt::format("not a PEM certificate, or a damaged one ({})", error));
  }
  return chain;
}

absl::StatusOr<std::vector<Certificate>> Certificate::ChainFromFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string pem, ReadFile(path));
  auto chain = ChainFromPem(pem);
  if (!chain.ok()) return Annotate(chain.status(), path);
  return chain;
}

absl::StatusOr<Certificate> Certificate::FromPem(std::string_view pem) {
  ASSIGN_OR_RETURN(const std::vector<Certificate> chain, ChainFromPem(pem));
  return chain.front();
}

absl::StatusOr<Certificate> Certificate::FromDer(std::string_view der) {
  const auto* data = reinterpret_cast<const unsigned char*>(der.data());
  const auto* end = data + der.size();
  X509* certificate = d2i_X509(nullptr, &data, static_cast<long>(der.size()));
  if (certificate == nullptr || data != end) {
    X509_free(certificate);
    return absl::InvalidArgumentError(fmt::format("not a DER certificate ({})", OpenSslError()));
  }
  return Certificate(std::shared_ptr<X509>(certificate, X509_free));
}

std::string Certificate::ToPem() const {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), certificate_.get()) != 1) return "";
  return Content(bio.get());
}

CertificateSummary Certificate::Summary() const {
  const X509* certificate = certificate_.get();
  return {.subject = NameText(X509_get_subject_name(certificate)),
          .issuer = NameText(X509_get_issuer_name(certificate)),
          .names = AlternativeNames(certificate),
          .not_before = not_before(),
          .not_after = not_after(),
          .is_ca = X509_check_ca(certificate_.get()) == 1,
          .sha1 = Fingerprint(certificate, EVP_sha1()),
          .sha256 = Fingerprint(certificate, EVP_sha256())};
}

absl::Time Certificate::not_before() const {
  return FromAsn1(X509_get0_notBefore(certificate_.get()));
}

absl::Time Certificate::not_after() const {
  return FromAsn1(X509_get0_notAfter(certificate_.get()));
}

absl::Status Certificate::CheckDates(absl::Time now, std::string_view what) const {
  if (now > not_after()) {
    return absl::FailedPreconditionError(
        fmt::format("{} expired at {}; make a new one (move the old files away and run `holdfast certs init`), or set "
                    "the clock if it is wrong",
                    what, absl::FormatTime(absl::RFC3339_sec, not_after(), absl::UTCTimeZone())));
  }
  if (now < not_before()) {
    return absl::FailedPreconditionError(
        fmt::format("{} is not valid before {}; set the clock, which stands at {}", what,
                    absl::FormatTime(absl::RFC3339_sec, not_before(), absl::UTCTimeZone()),
                    absl::FormatTime(absl::RFC3339_sec, now, absl::UTCTimeZone())));
  }
  return absl::OkStatus();
}

absl::Status Certificate::CheckKey(const PrivateKey& key) const {
  const bool matches = X509_check_private_key(certificate_.get(), key.get()) == 1;
  ERR_clear_error();
  return matches ? absl::OkStatus() : absl::FailedPreconditionError("the private key is not this certificate's");
}

bool Certificate::IsSignedBy(const Certificate& issuer) const {
  const bool signed_by = X509_verify(certificate_.get(), X509_get0_pubkey(issuer.get())) == 1;
  ERR_clear_error();
  return signed_by;
}

absl::StatusOr<Certificate> MakeRootCa(const PrivateKey& key, const std::string& common_name, absl::Time now) {
  return Make({.public_key = key.get(),
               .common_name = common_name,
               .now = now,
               .lifetime = kRootCaLifetime,
               .issuer = nullptr,
               .issuer_key = &key,
               .extensions = {{NID_basic_constraints, "critical,CA:TRUE"},
                              {NID_key_usage, "critical,keyCertSign,cRLSign"},
                              {NID_subject_key_identifier, "hash"}}});
}

absl::StatusOr<Certificate> MakeDeviceCa(const PrivateKey& key, const std::string& common_name,
                                         const Certificate& issuer, const PrivateKey& issuer_key, absl::Time now) {
  return Make({.public_key = key.get(),
               .common_name = common_name,
               .now = now,
               .lifetime = kDeviceCaLifetime,
               .issuer = &issuer,
               .issuer_key = &issuer_key,
               .extensions = {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                              {NID_key_usage, "critical,keyCertSign,cRLSign"},
                              {NID_subject_key_identifier, "hash"},
                              {NID_authority_key_identifier, "keyid"}}});
}

absl::StatusOr<Certificate> MakeServerCertificate(const PrivateKey& key, const std::vector<std::string>& names,
                                                  const Certificate& issuer, const PrivateKey& issuer_key,
                                                  absl::Time now, absl::Duration lifetime) {
  return MakeServer(key.get(), names, issuer, issuer_key, now, lifetime);
}

absl::StatusOr<Certificate> MakeClientCertificate(const PrivateKey& key, const std::string& common_name,
                                                  const Certificate& issuer, const PrivateKey& issuer_key,
                                                  absl::Time now, absl::Duration lifetime) {
  return Make({.public_key = key.get(),
               .common_name = common_name,
               .now = now,
               .lifetime = lifetime,
               .issuer = &issuer,
               .issuer_key = &issuer_key,
               .extensions = {{NID_basic_constraints, "critical,CA:FALSE"},
                              {NID_key_usage, "critical,digitalSignature"},
                              {NID_ext_key_usage, "clientAuth"},
                              {NID_subject_key_identifier, "hash"},
                              {NID_authority_key_identifier, "keyid"}}});
}

absl::StatusOr<Certificate> MakeServerCertificateFromCsr(std::string_view csr_pem,
                                                         const std::vector<std::string>& names,
                                                         const Certificate& issuer, const PrivateKey& issuer_key,
                                                         absl::Time now) {
  const BioPtr bio = ReadOnlyBio(csr_pem);
  const X509ReqPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (request == nullptr) {
    return absl::InvalidArgumentError(fmt::format("not a PEM certificate signing request ({})", OpenSslError()));
  }
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || X509_REQ_verify(request.get(), key) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the certificate signing request's own signature does not hold");
  }
  RETURN_IF_ERROR(CheckServerKey(key));
  return MakeServer(key, names, issuer, issuer_key, now, kServerLifetime);
}

absl::StatusOr<Certificate> MakeRecipientCertificate(const PrivateKey& key, const std::string& common_name,
                                                     absl::Time now, absl::Duration lifetime) {
  return Make({.public_key = key.get(),
               .common_name = common_name,
               .now = now,
               .lifetime = lifetime,
               .issuer = nullptr,
               .issuer_key = &key,
               .extensions = {{NID_basic_constraints, "critical,CA:FALSE"},
                              {NID_key_usage, "critical,keyAgreement"},
                              {NID_subject_key_identifier, "hash"}}});
}

absl::StatusOr<std::string> MakeCsr(const PrivateKey& key, const std::string& common_name) {
  const X509ReqPtr request(X509_REQ_new());
  X509_NAME* subject = X509_REQ_get_subject_name(request.get());
  if (X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common_name.data()),
                                 static_cast<int>(common_name.size()), -1, 0) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) == 0) {
    return Failed("request");
  }
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) return Failed("request");
  return Content(bio.get());
}

}  // namespace holdfast::pki
