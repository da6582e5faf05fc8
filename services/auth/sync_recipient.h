#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/pki/certificate.h"
#include "lib/pki/private_key.h"

namespace holdfast::auth {

// Whom uplink seals the hub's answers for: a certificate made when the process starts, whose key never leaves it and
// dies with it. Immutable, thread-safe.
class SyncRecipient {
 public:
  static absl::StatusOr<SyncRecipient> Create(absl::Time now);

  std::string Pem() const { return certificate_.ToPem(); }

  // FAILED_PRECONDITION if it was sealed for another recipient, such as this one's predecessor; INVALID_ARGUMENT if it
  // does not open.
  absl::StatusOr<std::string> Open(std::string_view envelope) const;

 private:
  SyncRecipient(pki::PrivateKey key, pki::Certificate certificate)
      : key_(std::move(key)), certificate_(std::move(certificate)) {}
  pki::PrivateKey key_;
  pki::Certificate certificate_;
};

}  // namespace holdfast::auth
