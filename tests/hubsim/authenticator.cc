#include "tests/hubsim/authenticator.h"

#include <fmt/format.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "absl/strings/escaping.h"
#include "lib/base/status.h"
#include "lib/iothub/sas_token.h"
#include "lib/pki/certificate.h"

namespace holdfast::hubsim {
namespace {

using iothub::SasToken;

absl::Status Refused(std::string text) {
  return absl::UnauthenticatedError(text);
}

// Whether the decoded resource is `host/devices/d[/modules/m]`. A hub takes the beginning of a resource for the whole
// too; this one wants what the SDKs write, so that nothing else passes a test.
bool IsFor(std::string_view resource, std::string_view host, std::string_view device, std::string_view module) {
  const auto audience = iothub::ParseAudience(resource);
  return audience.ok() && iothub::EqualsIgnoreCase(audience->host, host) &&
         iothub::NamesId(audience->device_id, device) && audience->module_id.empty() == module.empty() &&
         (module.empty() || iothub::NamesId(audience->module_id, module));
}

bool IsSignedWithOneOf(const SasToken& token, const std::string& primary, const std::string& secondary) {
  for (const std::string* base64 : {&primary, &secondary}) {
    std::string key;
    if (absl::Base64Unescape(*base64, &key) && iothub::IsSignedWith(token, key)) return true;
  }
  return false;
}

std::string CommonName(X509* certificate) {
  char name[256];
  const int size = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof(name));
  return size < 0 ? "" : std::string(name, static_cast<size_t>(size));
}

// Whether the chain leads from its first certificate to one of the store's, at `now`, by its signatures.
bool Verifies(X509_STORE* store, const std::vector<pki::Certificate>& chain, absl::Time now) {
  STACK_OF(X509)* others = sk_X509_new_null();
  for (size_t i = 1; i < chain.size(); ++i) sk_X509_push(others, chain[i].get());
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store, chain[0].get(), others);
  X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context), absl::ToTimeT(now));
  X509_VERIFY_PARAM_set_purpose(X509_STORE_CTX_get0_param(context), X509_PURPOSE_SSL_CLIENT);
  const bool ok = X509_verify_cert(context) == 1;
  X509_STORE_CTX_free(context);
  sk_X509_free(others);
  return ok;
}

}  // namespace

Authenticator::Authenticator(Options options, const Registry& registry)
    : options_(std::move(options)), registry_(registry), store_(X509_STORE_new()) {}

Authenticator::~Authenticator() {
  X509_STORE_free(store_);
}

absl::StatusOr<std::unique_ptr<Authenticator>> Authenticator::Create(Options options, const Registry& registry) {
  auto made = std::unique_ptr<Authenticator>(new Authenticator(std::move(options), registry));
  const std::string& ca_file = made->options_.device_ca_file;
  if (!ca_file.empty()) {
    ASSIGN_OR_RETURN(const std::vector<pki::Certificate> authorities, pki::Certificate::ChainFromFile(ca_file));
    for (const pki::Certificate& authority : authorities) X509_STORE_add_cert(made->store_, authority.get());
    X509_STORE_set_flags(made->store_, X509_V_FLAG_PARTIAL_CHAIN);
  }
  return made;
}

absl::StatusOr<absl::Time> Authenticator::CheckToken(std::string_view token, std::string_view device_id,
                                                     std::string_view module_id, const Authentication& keys,
                                                     absl::Time now) const {
  ASSIGN_OR_RETURN(const SasToken parsed, iothub::ParseSasToken(token));
  const absl::Time until = parsed.expiry + options_.clock_skew;
  if (until < now) return Refused("the token has expired");
  if (!parsed.policy.empty()) return Refused("tokens of a shared access policy are not for devices");
  if (!IsFor(parsed.resource, options_.hostname, device_id, module_id)) {
    return Refused(fmt::format("the token is for another resource, {}", parsed.resource));
  }
  if (keys.type != AuthType::kSas) return Refused("the identity does not authenticate with keys");
  if (!IsSignedWithOneOf(parsed, keys.primary_key, keys.secondary_key)) {
    return Refused("the token is not signed with a key of the identity");
  }
  return until;
}

absl::Status Authenticator::CheckCertificate(const Claim& claim, const std::string& name,
                                             const Authentication& expected, absl::Time now) const {
  std::vector<pki::Certificate> chain;
  for (const std::string& der : claim.certificates) {
    ASSIGN_OR_RETURN(pki::Certificate certificate, pki::Certificate::FromDer(der));
    chain.push_back(std::move(certificate));
  }
  const pki::CertificateSummary leaf = chain[0].Summary();
  if (now < leaf.not_before || now > leaf.not_after) return Refused("the certificate is not valid at this time");
  if (expected.type == AuthType::kSelfSigned) {
    for (const std::string* thumbprint : {&expected.primary_thumbprint, &expected.secondary_thumbprint}) {
      if (iothub::EqualsIgnoreCase(*thumbprint, leaf.sha1) || iothub::EqualsIgnoreCase(*thumbprint, leaf.sha256)) {
        return absl::OkStatus();
      }
    }
    return Refused("the certificate has another thumbprint");
  }
  if (expected.type != AuthType::kCertificateAuthority) return Refused("the identity has no certificate");
  if (CommonName(chain[0].get()) != name) return Refused("the certificate's common name is not the identity's");
  if (leaf.is_ca) return Refused("the certificate is one of a CA");
  if (!Verifies(store_, chain, now)) return Refused("the certificate comes from no CA of this hub");
  return absl::OkStatus();
}

absl::StatusOr<absl::Time> Authenticator::CheckCredential(const Claim& claim, std::string_view device_id,
                                                          std::string_view module_id, absl::Time now) const {
  const Device* device = registry_.FindDevice(device_id);
  const Module* module = module_id.empty() ? nullptr : registry_.FindModule(device_id, module_id);
  if (device == nullptr || (module == nullptr && !module_id.empty())) return Refused("the identity is not registered");
  const Authentication& expected = module == nullptr ? device->authentication : module->authentication;
  if (!claim.password.empty()) return CheckToken(claim.password, device_id, module_id, expected, now);
  if (claim.certificates.empty()) return absl::InvalidArgumentError("neither password nor certificate");
  const std::string name = module == nullptr ? std::string(device_id) : fmt::format("{}/{}", device_id, module_id);
  RETURN_IF_ERROR(CheckCertificate(claim, name, expected, now));
  return absl::InfiniteFuture();
}

absl::StatusOr<Grant> Authenticator::CheckClient(const Claim& claim, absl::Time now) const {
  Grant grant;
  if (claim.auth_chain.empty()) {
    ASSIGN_OR_RETURN(grant.until, CheckCredential(claim, claim.device_id, claim.module_id, now));
    const Device* device = registry_.FindDevice(claim.device_id);
    if (!device->enabled) return absl::PermissionDeniedError("the device is disabled");
    return grant;
  }
  const auto actor = registry_.CheckChain(claim.auth_chain, claim.device_id, claim.module_id);
  if (!actor.ok()) return actor.status();
  grant.actor = (*actor)->device_id;
  ASSIGN_OR_RETURN(grant.until, CheckCredential(claim, grant.actor, kEdgeHub, now));
  return grant;
}

absl::Status Authenticator::CheckDevice(std::string_view header, std::string_view device_id, std::string_view module_id,
                                        absl::Time now) const {
  if (header.empty()) return Refused("no Authorization header");
  const Claim claim{
      .device_id = std::string(device_id), .module_id = std::string(module_id), .password = std::string(header)};
  const auto grant = CheckClient(claim, now);
  return absl::IsInvalidArgument(grant.status()) ? Refused(std::string(grant.status().message())) : grant.status();
}

absl::Status Authenticator::CheckGateway(std::string_view header, std::string_view device_id, absl::Time now) const {
  RETURN_IF_ERROR(CheckDevice(header, device_id, kEdgeHub, now));
  if (!registry_.FindDevice(device_id)->is_edge) return absl::PermissionDeniedError("the device is no gateway");
  return absl::OkStatus();
}

absl::Status Authenticator::CheckService(std::string_view header, absl::Time now) const {
  if (options_.service_key.empty()) return Refused("this hub has no service key (--service-key)");
  const auto token = iothub::ParseSasToken(header);
  if (!token.ok()) return Refused(std::string(token.status().message()));
  if (token->expiry + options_.clock_skew < now) return Refused("the token has expired");
  if (!iothub::EqualsIgnoreCase(token->resource, options_.hostname))
    return Refused("the token is for another resource");
  if (token->policy.empty()) return Refused("the token names no policy (skn)");
  if (!IsSignedWithOneOf(*token, options_.service_key, ""))
    return Refused("the token is not signed with the service key");
  return absl::OkStatus();
}

}  // namespace holdfast::hubsim
