#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/pki/certificate.h"
#include "lib/pki/private_key.h"

namespace holdfast::pki {

// Whom another process seals envelopes for (envelope.h): a certificate made when the process starts, whose key never
// leaves it and dies with it. Immutable, thread-safe.
class Recipient {
 public:
  // `name`: what it is for, the common name: "holdfast auth sync recipient".
  static absl::StatusOr<Recipient> Create(const std::string& name, absl::Time now);

  std::string Pem() const { return certificate_.ToPem(); }

  // FAILED_PRECONDITION if it was sealed for another recipient, such as this one's predecessor; INVALID_ARGUMENT if it
  // does not open.
  absl::StatusOr<std::string> Open(std::string_view envelope) const;

 private:
  Recipient(PrivateKey key, Certificate certificate) : key_(std::move(key)), certificate_(std::move(certificate)) {}
  PrivateKey key_;
  Certificate certificate_;
};

}  // namespace holdfast::pki
