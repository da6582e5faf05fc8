#include "services/auth/authenticator.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/iothub/auth_chain.h"
#include "lib/iothub/sas_token.h"

namespace holdfast::auth {
namespace {

using Response = v1::AuthenticateResponse;

Verdict Deny(Response::Reason reason, std::string detail) {
  return {.decision = Response::DECISION_DENIED, .reason = reason, .detail = std::move(detail)};
}

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

bool IsSignedByKeysOf(const iothub::SasToken& token, const Identity& identity) {
  return iothub::IsSignedWith(token, identity.primary_key) || iothub::IsSignedWith(token, identity.secondary_key);
}

absl::StatusOr<std::vector<pki::Certificate>> ParseChain(const std::vector<std::string_view>& chain) {
  size_t bytes = 0;
  for (const std::string_view der : chain) bytes += der.size();
  if (chain.size() > Authenticator::kCertificatesMax || bytes > Authenticator::kCertificateBytesMax) {
    return absl::InvalidArgumentError(fmt::format("it sent more than {} certificates or {} bytes of them",
                                                  Authenticator::kCertificatesMax,
                                                  Authenticator::kCertificateBytesMax));
  }
  std::vector<pki::Certificate> certificates;
  for (const std::string_view der : chain) {
    ASSIGN_OR_RETURN(pki::Certificate certificate, pki::Certificate::FromDer(der));
    certificates.push_back(std::move(certificate));
  }
  return certificates;
}

bool HasThumbprint(const Identity& identity, const std::string& thumbprint) {
  return !thumbprint.empty() &&
         (thumbprint == identity.primary_thumbprint || thumbprint == identity.secondary_thumbprint);
}

Verdict OutsideItsDates(const std::string& id, const pki::Certificate& leaf, absl::Time now) {
  const auto text = [](absl::Time t) { return absl::FormatTime(absl::RFC3339_sec, t, absl::UTCTimeZone()); };
  return Deny(
      Response::REASON_CERTIFICATE_EXPIRED,
      fmt::format("{}: its certificate, or one that signed it, is valid at another time than {} (its own: {} to "
                  "{}); is a clock wrong?",
                  id, text(now), text(leaf.not_before()), text(leaf.not_after())));
}

}  // namespace

Verdict Authenticator::Judge(const Claim& claim, const IdentityMap& identities, absl::Time now) const {
  const std::string id = FullId(claim.device_id, claim.module_id);
  const auto found = identities.find(id);
  if (found == identities.end()) {
    return Deny(Response::REASON_UNKNOWN_IDENTITY, fmt::format("{} is not an identity of this gateway", Printable(id)));
  }
  const Identity& identity = found->second;
  if (!identity.enabled) {
    return Deny(Response::REASON_IDENTITY_DISABLED, fmt::format("{} is disabled", id));
  }
  const Identity* parent = nullptr;
  if (!identity.module_id.empty()) {
    const auto device = identities.find(identity.device_id);
    if (device != identities.end()) parent = &device->second;
    if (parent != nullptr && !parent->enabled) {
      return Deny(Response::REASON_IDENTITY_DISABLED, fmt::format("{}: its device is disabled", id));
    }
  }
  Verdict verdict =
      Deny(Response::REASON_NO_CREDENTIAL, fmt::format("{} sent neither a password nor a certificate", id));
  if (!claim.password.empty()) {
    verdict = JudgeToken(claim, identity, parent, now);
  } else if (!claim.certificate_chain.empty()) {
    verdict = JudgeCertificate(claim, identity, now);
  }
  verdict.identity_version = std::max(identity.version, parent == nullptr ? 0 : parent->version);
  return verdict;
}

Verdict Authenticator::JudgeActor(std::string_view gateway, std::string_view password, const IdentityMap& identities,
                                  absl::Time now) const {
  const Claim claim{.device_id = gateway, .module_id = iothub::kEdgeHub, .password = password};
  const std::string id = FullId(claim.device_id, claim.module_id);
  const auto found = identities.find(id);
  Verdict verdict;
  if (found == identities.end()) {
    verdict =
        Deny(Response::REASON_UNKNOWN_IDENTITY, fmt::format("{} is not an identity of this gateway", Printable(id)));
  } else if (password.empty()) {
    verdict = Deny(Response::REASON_NO_CREDENTIAL, fmt::format("{} sent no token", id));
  } else {
    verdict = JudgeToken(claim, found->second, /*parent=*/nullptr, now);
    verdict.identity_version = found->second.version;
  }
  verdict.subject = id;
  return verdict;
}

Verdict Authenticator::JudgeCertificate(const Claim& claim, const Identity& identity, absl::Time now) const {
  const std::string id = FullId(identity);
  const bool is_self_signed = identity.credential == Credential::kSelfSigned;
  // IoT Hub contract, X.509: devices only.
  if (!identity.module_id.empty() || (!is_self_signed && identity.credential != Credential::kCaSigned)) {
    return Deny(Response::REASON_CREDENTIAL_KIND, fmt::format("{} showed a certificate, and is not let in by one", id));
  }
  const auto chain = ParseChain(claim.certificate_chain);
  if (!chain.ok()) return Deny(Response::REASON_WRONG_CERTIFICATE, fmt::format("{}: {}", id, Message(chain.status())));
  const pki::Certificate& leaf = chain->front();
  absl::Time end = leaf.not_after();
  if (is_self_signed) {
    const pki::CertificateSummary summary = leaf.Summary();
    if (!HasThumbprint(identity, summary.sha1) && !HasThumbprint(identity, summary.sha256)) {
      return Deny(Response::REASON_WRONG_CERTIFICATE,
                  fmt::format("{}: its certificate has neither its primary nor its secondary thumbprint; SHA-1 {}", id,
                              summary.sha1));
    }
    if (now < leaf.not_before() || now > end) return OutsideItsDates(id, leaf, now);
  } else {
    if (pki::CommonName(leaf) != identity.device_id) {
      return Deny(Response::REASON_WRONG_CERTIFICATE,
                  fmt::format("{}: its certificate is for {}", id, Printable(pki::CommonName(leaf))));
    }
    const auto verified = certificates_ == nullptr
                              ? absl::StatusOr<absl::Time>(absl::PermissionDeniedError("no CA is trusted"))
                              : certificates_->Verify(*chain, now);
    if (absl::IsOutOfRange(verified.status())) return OutsideItsDates(id, leaf, now);
    if (!verified.ok()) {
      return Deny(Response::REASON_WRONG_CERTIFICATE,
                  fmt::format("{}: its certificate: {}", id, Message(verified.status())));
    }
    end = *verified;
  }
  return {.decision = Response::DECISION_GRANTED,
          .reason = Response::REASON_UNSPECIFIED,
          .detail = fmt::format("{} is let in by its certificate", id),
          .valid_for = std::max(end - now, absl::ZeroDuration())};
}

std::string Authenticator::HubHostname() const {
  const auto credential = hub_ == nullptr ? nullptr : hub_->Get();
  return credential == nullptr ? hub_hostname_ : credential->hub_hostname;
}

Verdict Authenticator::JudgeToken(const Claim& claim, const Identity& identity, const Identity* parent,
                                  absl::Time now) const {
  const std::string id = FullId(identity);
  if (identity.credential != Credential::kSas && (parent == nullptr || parent->credential != Credential::kSas)) {
    return Deny(Response::REASON_CREDENTIAL_KIND, fmt::format("{} showed a token, and has no key", id));
  }
  const auto token = iothub::ParseSasToken(claim.password);
  if (!token.ok()) return Deny(Response::REASON_MALFORMED_TOKEN, fmt::format("{}: {}", id, Message(token.status())));
  if (iothub::IsExpired(*token, now)) {
    return Deny(Response::REASON_TOKEN_EXPIRED,
                fmt::format("{}: its token ended at {}, and it is {}; is a clock wrong?", id,
                            absl::FormatTime(absl::RFC3339_sec, token->expiry, absl::UTCTimeZone()),
                            absl::FormatTime(absl::RFC3339_sec, now, absl::UTCTimeZone())));
  }
  const auto audience = iothub::ParseAudience(token->resource);
  if (!audience.ok())
    return Deny(Response::REASON_WRONG_AUDIENCE, fmt::format("{}: {}", id, Message(audience.status())));
  const std::string hub = HubHostname();
  const bool host_ok =
      iothub::EqualsIgnoreCase(audience->host, hub) || iothub::EqualsIgnoreCase(audience->host, gateway_hostname_);
  const bool is_for_device = audience->module_id.empty();
  const bool ids_ok = iothub::NamesId(audience->device_id, identity.device_id) &&
                      (is_for_device || iothub::NamesId(audience->module_id, identity.module_id));
  if (!host_ok || !ids_ok) {
    return Deny(Response::REASON_WRONG_AUDIENCE, fmt::format("{}: its token is for {}; accepted: {} or {}", id,
                                                             Printable(token->resource), hub, gateway_hostname_));
  }
  // The device's own token carries a module too, so the keys to try follow from the audience.
  const bool own_keys = is_for_device == identity.module_id.empty();
  const bool is_signed =
      (own_keys && IsSignedByKeysOf(*token, identity)) || (parent != nullptr && IsSignedByKeysOf(*token, *parent));
  if (!is_signed) {
    return Deny(Response::REASON_WRONG_SIGNATURE,
                fmt::format("{}: its token is signed with none of its keys{}", id,
                            token->policy.empty() ? "" : "; tokens of a hub policy can't be verified here"));
  }
  return {.decision = Response::DECISION_GRANTED,
          .reason = Response::REASON_UNSPECIFIED,
          .detail = fmt::format("{} is let in by its token", id),
          .valid_for = token->expiry + iothub::kClockSkew - now};
}

}  // namespace holdfast::auth
