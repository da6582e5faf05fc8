#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "holdfast/auth/v1/auth.pb.h"
#include "services/auth/client_certificates.h"
#include "services/auth/hub_credential.h"
#include "services/auth/identity.h"

namespace holdfast::auth {

// What a client shows for itself.
struct Claim {
  std::string_view device_id;
  std::string_view module_id;  // empty for a device
  std::string_view password;
  std::vector<std::string_view> certificate_chain;  // DER, leaf first; looked at only if there is no password
};

struct Verdict {
  v1::AuthenticateResponse::Decision decision = v1::AuthenticateResponse::DECISION_DENIED;
  v1::AuthenticateResponse::Reason reason = v1::AuthenticateResponse::REASON_UNSPECIFIED;
  std::string detail;             // one sentence, with nothing secret in it
  absl::Duration valid_for;       // if granted; infinite if no end is known
  uint64_t identity_version = 0;  // if granted: of the identity, or of its device if that is higher
  std::string subject;            // full id of whose record decided; empty: the claimed one's
};

// Judges claims by the rules of the IoT Hub device contract: the identity is known and enabled, and so is the device of
// a module; the token is well-formed, not over for more than kClockSkew, made for this hub or gateway and for this
// identity, and signed with one of its keys. A module is also let in by a token of its device's keys, for the module or
// for the device; a device never by a module's. A device that has no keys is let in by its certificate, if it sent no
// password: one with its thumbprint, or one of a trusted CA with its id as common name. Immutable, thread-safe.
class Authenticator {
 public:
  static constexpr size_t kCertificatesMax = 10;
  static constexpr size_t kCertificateBytesMax = 64 << 10;  // of all of a client's

  // `certificates`: null = no CA is trusted; outlives it. `hub`: if not null, the hub that it names counts instead of
  // `hub_hostname` once it is known; outlives it.
  Authenticator(std::string hub_hostname, std::string gateway_hostname,
                const ClientCertificates* certificates = nullptr, const HubIdentity* hub = nullptr)
      : hub_hostname_(std::move(hub_hostname)),
        gateway_hostname_(std::move(gateway_hostname)),
        certificates_(certificates),
        hub_(hub) {}

  Verdict Judge(const Claim& claim, const IdentityMap& identities, absl::Time now) const;

  // Judges the credential of a gateway that speaks for others: a token of its module $edgeHub, signed with one of that
  // module's own keys. Nothing else of the gateway may speak for others, not even the device itself (IoT Hub contract:
  // on-behalf-of).
  Verdict JudgeActor(std::string_view gateway, std::string_view password, const IdentityMap& identities,
                     absl::Time now) const;

 private:
  std::string HubHostname() const;
  Verdict JudgeCertificate(const Claim& claim, const Identity& identity, absl::Time now) const;
  Verdict JudgeToken(const Claim& claim, const Identity& identity, const Identity* parent, absl::Time now) const;

  const std::string hub_hostname_;
  const std::string gateway_hostname_;
  const ClientCertificates* const certificates_;
  const HubIdentity* const hub_;
};

}  // namespace holdfast::auth
