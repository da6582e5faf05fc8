#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/config/config.h"
#include "services/auth/failure_limits.h"
#include "services/auth/key_ring.h"
#include "services/auth/wanted_identities.h"

namespace holdfast::auth {

// The section [auth] of holdfast.toml; see README.md. Paths that are not given lie in <gateway.data_dir>/secrets.
struct AuthOptions {
  std::string identities_file;
  std::string hub_connection_string_file;
  KeyLocation sealing_keys;
  std::string device_ca_cert_file;
  std::string device_ca_key_file;
  std::string trust_bundle_file;
  std::string client_ca_file;
  WantedIdentities::Options on_demand;
  FailureLimits::Options failures;
  std::string metrics_address;
  std::vector<std::string> workload_modules;  // of the gateway's own device; each gets a socket
  std::string workload_device_id;             // that device; "" = the one that the connection string names
};

absl::StatusOr<AuthOptions> ReadAuthOptions(const ConfigFile& file, const GatewayOptions& gateway);

}  // namespace holdfast::auth
