#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/pki/certificate.h"
#include "lib/pki/private_key.h"
#include "services/auth/trusted_clock.h"

namespace holdfast::auth {

// Signs the gateway's server certificates with the device CA. The CA's files are read at each call (calls are rare), so
// that a CA that is made or replaced while auth runs counts at once. Thread-safe.
class CertificateIssuer {
 public:
  // Asked for again this soon while the wall clock is not believed: the dates may be too old.
  static constexpr absl::Duration kRenewWhileClockIsWrong = absl::Minutes(10);

  struct Options {
    std::string ca_certificate_file;
    std::string ca_key_file;
    std::string trust_bundle_file;
    std::vector<std::string> names;  // for the certificate; the first is its common name
  };
  struct Issued {
    std::string chain_pem;  // leaf, then the CAs below the root
    absl::Time not_after;
    absl::Duration renew_after;
  };

  CertificateIssuer(Options options, const TrustedClock& clock);

  // NOT_FOUND if there is no CA (a gateway without TLS), another error if a file of it can't be used. Dates are not
  // looked at.
  absl::Status CheckFiles() const;

  // FAILED_PRECONDITION, with what to do, if the CA is out of its dates.
  absl::Status CheckDates() const;

  // FAILED_PRECONDITION, with what to do, if there is no usable CA; INVALID_ARGUMENT if the request is not one.
  absl::StatusOr<Issued> Issue(std::string_view csr_pem) const;

  // Likewise for a module: a server's certificate with these names, or a client's. Ends `lifetime` from now, and no
  // later than kServerLifetime from now and the CA.
  absl::StatusOr<Issued> IssueServer(const pki::PrivateKey& key, const std::vector<std::string>& names,
                                     absl::Duration lifetime) const;
  absl::StatusOr<Issued> IssueClient(const pki::PrivateKey& key, const std::string& common_name,
                                     absl::Duration lifetime) const;

  // FAILED_PRECONDITION if there is none.
  absl::StatusOr<std::string> TrustBundle() const;

  // Of the device CA.
  absl::StatusOr<absl::Time> CaNotAfter() const;

 private:
  using MakeLeaf = std::function<absl::StatusOr<pki::Certificate>(const pki::Certificate& ca,
                                                                  const pki::PrivateKey& key, absl::Time now)>;
  absl::StatusOr<Issued> IssueWith(const MakeLeaf& make) const;

  const Options options_;
  const TrustedClock& clock_;
};

}  // namespace holdfast::auth
