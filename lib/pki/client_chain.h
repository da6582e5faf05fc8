// What a TLS client's certificate proves. Pure but for the clock's time that is passed in; thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/pki/certificate.h"

namespace holdfast::pki {

// The CAs that clients' certificates are judged by, ready for use. Copies share them; immutable, thread-safe.
class ClientAuthorities {
 public:
  // Each counts as it is: one that is itself signed by another CA is trusted without that one.
  static absl::StatusOr<ClientAuthorities> Create(const std::vector<Certificate>& authorities);

  // Follows `chain` (the leaf first, then what the client sent with it, in any order) to one of the authorities, with
  // the dates judged at `now` and without asking anybody about revocation, and gives the end of the one that ends
  // first. The leaf must not be a CA and, if it says what it is for, be for TLS clients. OUT_OF_RANGE outside the dates
  // of a certificate of that path; PERMISSION_DENIED with the reason if there is no path or the leaf will not do.
  absl::StatusOr<absl::Time> Verify(const std::vector<Certificate>& chain, absl::Time now) const;

 private:
  explicit ClientAuthorities(std::shared_ptr<void> store) : store_(std::move(store)) {}
  std::shared_ptr<void> store_;  // OpenSSL's X509_STORE
};

// The subject's common name; empty if there is none, or more than one.
std::string CommonName(const Certificate& certificate);

}  // namespace holdfast::pki
