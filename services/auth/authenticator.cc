#include "services/auth/authenticator.h"

#include <fmt/format.h>

#include "lib/base/log.h"
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
  const bool has_key =
      identity.credential == Credential::kSas || (parent != nullptr && parent->credential == Credential::kSas);
  if (!claim.password.empty() && !has_key) {
    return Deny(Response::REASON_CREDENTIAL_KIND, fmt::format("{} has no key, and showed a token", id));
  }
  if (!claim.password.empty()) return JudgeToken(claim, identity, parent, now);
  if (claim.has_certificate) {
    return Deny(Response::REASON_CREDENTIAL_KIND, fmt::format("{} has keys and showed a certificate only", id));
  }
  return Deny(Response::REASON_NO_CREDENTIAL, fmt::format("{} sent neither a password nor a certificate", id));
}

std::string Authenticator::HubHostname() const {
  const auto credential = hub_ == nullptr ? nullptr : hub_->Get();
  return credential == nullptr ? hub_hostname_ : credential->hub_hostname;
}

Verdict Authenticator::JudgeToken(const Claim& claim, const Identity& identity, const Identity* parent,
                                  absl::Time now) const {
  const std::string id = FullId(identity);
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
