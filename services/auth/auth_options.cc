#include "services/auth/auth_options.h"

#include <fmt/format.h>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/pki/certificate_files.h"
#include "services/auth/identity.h"
#include "services/auth/workload_server.h"

namespace holdfast::auth {
namespace {

absl::Status CheckWorkload(const AuthOptions& options, const GatewayOptions& gateway) {
  if (!options.workload_device_id.empty() && !IsValidId(options.workload_device_id)) {
    return absl::InvalidArgumentError(
        fmt::format("[auth] workload_device_id: {} is not a device id", Printable(options.workload_device_id)));
  }
  for (const std::string& module : options.workload_modules) {
    if (const absl::Status status = CheckWorkloadModule(gateway.run_dir, module); !status.ok()) {
      return Annotate(status, "[auth] workload_modules");
    }
  }
  const bool is_device_known = !options.workload_device_id.empty() || !options.hub_connection_string_file.empty();
  if (options.workload_modules.empty() || is_device_known) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "[auth] workload_modules is set, but not whose modules these are; set [auth] workload_device_id to the id of the "
      "gateway's own device, or [auth] hub_connection_string_file, which names it");
}

// What the file says of the sealing key.
struct SealingKeySource {
  std::string source = "file";
  KeyLocation given;

  // What is left of it for that source.
  absl::StatusOr<KeyLocation> Location() const {
    if (source == "file") return KeyLocation{.file = given.file};
    if (source != "tpm") {
      return absl::InvalidArgumentError(
          fmt::format("[auth] sealing_key_source: {} is not \"file\" or \"tpm\"", Printable(source)));
    }
    if (!given.tpm_blob_file.empty() && !given.tpm_tcti.empty()) return given;
    return absl::InvalidArgumentError("[auth] sealing_key_source is \"tpm\", but tpm_blob_file or tpm_tcti is empty");
  }
};

SealingKeySource ReadSealingKeySource(const std::string& secrets, ConfigSection* section) {
  SealingKeySource read{.given = {.file = secrets + "sealing.key",
                                  .tpm_blob_file = secrets + "sealing.tpm",
                                  .tpm_tcti = "device:/dev/tpmrm0"}};
  section->Read("sealing_key_source", &read.source);
  section->Read("sealing_key_file", &read.given.file);
  section->Read("tpm_blob_file", &read.given.tpm_blob_file);
  section->Read("tpm_tcti", &read.given.tpm_tcti);
  return read;
}

}  // namespace

absl::StatusOr<AuthOptions> ReadAuthOptions(const ConfigFile& file, const GatewayOptions& gateway) {
  const std::string secrets = gateway.data_dir + "/secrets/";
  AuthOptions options{.identities_file = "",
                      .hub_connection_string_file = "",
                      .sealing_keys = {},
                      .device_ca_cert_file = secrets + pki::kDeviceCaFile,
                      .device_ca_key_file = secrets + pki::kDeviceCaKeyFile,
                      .trust_bundle_file = secrets + pki::kRootCaFile,
                      .client_ca_file = "",
                      .on_demand = {},
                      .failures = {},
                      .metrics_address = ""};
  ConfigSection section = file.Section("auth");
  section.Read("identities_file", &options.identities_file);
  section.Read("hub_connection_string_file", &options.hub_connection_string_file);
  const SealingKeySource source = ReadSealingKeySource(secrets, &section);
  section.Read("device_ca_cert_file", &options.device_ca_cert_file);
  section.Read("device_ca_key_file", &options.device_ca_key_file);
  section.Read("trust_bundle_file", &options.trust_bundle_file);
  section.Read("client_ca_file", &options.client_ca_file);
  section.Read("on_demand_wait", &options.on_demand.wait, absl::ZeroDuration(), absl::Seconds(30));
  section.Read("on_demand_interval", &options.on_demand.interval, absl::Seconds(1), absl::Hours(24));
  section.Read("on_demand_rate", &options.on_demand.rate_per_minute, 1, 6000);
  constexpr int64_t kFailuresMax = 1'000'000'000;
  section.Read("failures_per_client_max", &options.failures.per_client_max, 1, kFailuresMax);
  section.Read("failures_per_address_max", &options.failures.per_address_max, 1, kFailuresMax);
  section.Read("failures_per_identity_max", &options.failures.per_identity_max, 1, kFailuresMax);
  section.Read("failure_window", &options.failures.window, absl::Seconds(1), absl::Hours(1));
  section.Read("failure_block", &options.failures.block, absl::Seconds(1), absl::Hours(1));
  section.Read("metrics_address", &options.metrics_address);
  section.Read("workload_modules", &options.workload_modules);
  section.Read("workload_device_id", &options.workload_device_id);
  RETURN_IF_ERROR(section.Finish());
  ASSIGN_OR_RETURN(options.sealing_keys, source.Location());
  if (!options.identities_file.empty() && !options.hub_connection_string_file.empty()) {
    return absl::InvalidArgumentError(
        "[auth] identities_file and hub_connection_string_file are both set, but a gateway has one source of "
        "identities: "
        "with both, each would remove what the other adds; leave one out");
  }
  RETURN_IF_ERROR(CheckWorkload(options, gateway));
  return options;
}

}  // namespace holdfast::auth
