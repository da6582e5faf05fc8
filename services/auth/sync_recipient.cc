#include "services/auth/sync_recipient.h"

#include "lib/base/status.h"
#include "lib/pki/envelope.h"

namespace holdfast::auth {
namespace {

// Longer than a process lives; nobody judges the dates.
constexpr absl::Duration kLifetime = absl::Hours(24 * 365 * 20);

}  // namespace

absl::StatusOr<SyncRecipient> SyncRecipient::Create(absl::Time now) {
  ASSIGN_OR_RETURN(pki::PrivateKey key, pki::PrivateKey::Generate());
  ASSIGN_OR_RETURN(pki::Certificate certificate,
                   pki::MakeRecipientCertificate(key, "holdfast auth sync recipient", now, kLifetime));
  return SyncRecipient(std::move(key), std::move(certificate));
}

absl::StatusOr<std::string> SyncRecipient::Open(std::string_view envelope) const {
  return pki::OpenEnvelope(certificate_, key_, envelope);
}

}  // namespace holdfast::auth
