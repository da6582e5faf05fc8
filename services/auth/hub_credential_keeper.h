#pragma once

#include <string>

#include "absl/status/status.h"
#include "lib/base/metrics.h"
#include "services/auth/hub_credential.h"
#include "services/auth/identity_repository.h"
#include "services/auth/sealing.h"

namespace holdfast::auth {

// Keeps the gateway's own credential: from its file when it is there and differs from what is known, else as it lies
// sealed in the store (P4). A file that can't be used is logged and changes nothing. Not thread-safe; what it publishes
// is.
class HubCredentialKeeper {
 public:
  struct Options {
    std::string file;          // "" = none
    std::string hub_hostname;  // which the credential must be for; "" = any
  };

  // The references must outlive it.
  HubCredentialKeeper(Options options, IdentityRepository& repository, HubIdentity& hub, Metrics& metrics)
      : options_(std::move(options)), repository_(repository), hub_(hub), metrics_(metrics) {}

  // Reads the store the first time, and the file if `is_file_due`. Errors of the store come through; try again.
  absl::Status Refresh(const Sealing& sealing, bool is_file_due);

 private:
  absl::Status LoadSealed(const Sealing& sealing);
  absl::Status ApplyFile(const Sealing& sealing);
  absl::Status CheckHub(const HubCredential& credential) const;
  void Complain(const absl::Status& status);

  const Options options_;
  IdentityRepository& repository_;
  HubIdentity& hub_;
  Metrics& metrics_;
  bool has_read_store_ = false;
  bool has_looked_at_mode_ = false;
  std::string last_complaint_;  // so that one bad file is reported once
};

}  // namespace holdfast::auth
