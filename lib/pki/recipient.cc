#include "lib/pki/recipient.h"

#include "lib/base/status.h"
#include "lib/pki/envelope.h"

namespace holdfast::pki {
namespace {

// Longer than a process lives; nobody judges the dates.
constexpr absl::Duration kLifetime = absl::Hours(24 * 365 * 20);

}  // namespace

absl::StatusOr<Recipient> Recipient::Create(const std::string& name, absl::Time now) {
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate());
  ASSIGN_OR_RETURN(Certificate certificate, MakeRecipientCertificate(key, name, now, kLifetime));
  return Recipient(std::move(key), std::move(certificate));
}

absl::StatusOr<std::string> Recipient::Open(std::string_view envelope) const {
  return OpenEnvelope(certificate_, key_, envelope);
}

}  // namespace holdfast::pki
