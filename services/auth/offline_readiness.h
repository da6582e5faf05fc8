#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "lib/base/metrics.h"
#include "services/auth/certificate_issuer.h"
#include "services/auth/client_certificates.h"
#include "services/auth/hub_credential.h"
#include "services/auth/identity_cache.h"

namespace holdfast::auth {

// Could the hub be cut off now, for good, as far as auth knows?
struct OfflineReport {
  std::vector<std::string> missing;  // one sentence each, with what to do; none: ready
  std::string source;                // "hub hub.example", "file /etc/…", or "the store alone"
  std::optional<absl::Time> device_ca_not_after;
};

// Judges that, and keeps the metric holdfast_auth_ready_for_offline. Thread-safe.
class OfflineReadiness {
 public:
  struct Options {
    std::string identities_file;
    std::string hub_connection_string_file;
  };

  // The references must outlive it.
  OfflineReadiness(Options options, const IdentityCache& cache, const HubIdentity& hub, const CertificateIssuer& issuer,
                   const ClientCertificates& certificates, Metrics& metrics)
      : options_(std::move(options)),
        cache_(cache),
        hub_(hub),
        issuer_(issuer),
        certificates_(certificates),
        metrics_(metrics) {}

  OfflineReport Judge() const;

 private:
  std::string Source() const;
  void JudgeIdentities(OfflineReport* report) const;
  void JudgeCertificates(OfflineReport* report) const;

  const Options options_;
  const IdentityCache& cache_;
  const HubIdentity& hub_;
  const CertificateIssuer& issuer_;
  const ClientCertificates& certificates_;
  Metrics& metrics_;
};

}  // namespace holdfast::auth
