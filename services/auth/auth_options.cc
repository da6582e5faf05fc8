#include "services/auth/auth_options.h"

#include "lib/base/status.h"
#include "lib/pki/certificate_files.h"

namespace holdfast::auth {

absl::StatusOr<AuthOptions> ReadAuthOptions(const ConfigFile& file, const GatewayOptions& gateway) {
  const std::string secrets = gateway.data_dir + "/secrets/";
  AuthOptions options{.identities_file = "",
                      .hub_connection_string_file = "",
                      .sealing_key_file = secrets + "sealing.key",
                      .device_ca_cert_file = secrets + pki::kDeviceCaFile,
                      .device_ca_key_file = secrets + pki::kDeviceCaKeyFile,
                      .trust_bundle_file = secrets + pki::kRootCaFile,
                      .metrics_address = ""};
  ConfigSection section = file.Section("auth");
  section.Read("identities_file", &options.identities_file);
  section.Read("hub_connection_string_file", &options.hub_connection_string_file);
  section.Read("sealing_key_file", &options.sealing_key_file);
  section.Read("device_ca_cert_file", &options.device_ca_cert_file);
  section.Read("device_ca_key_file", &options.device_ca_key_file);
  section.Read("trust_bundle_file", &options.trust_bundle_file);
  section.Read("metrics_address", &options.metrics_address);
  RETURN_IF_ERROR(section.Finish());
  if (!options.identities_file.empty() && !options.hub_connection_string_file.empty()) {
    return absl::InvalidArgumentError(
        "[auth] identities_file and hub_connection_string_file are both set, but a gateway has one source of "
        "identities: "
        "with both, each would remove what the other adds; leave one out");
  }
  return options;
}

}  // namespace holdfast::auth
