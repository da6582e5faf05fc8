// The section [uplink] of holdfast.toml; README.md has the table.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "lib/config/config.h"
#include "services/uplink/hub_upstream.h"
#include "services/uplink/uplink.h"

namespace holdfast::uplink {

struct UplinkOptions {
  Uplink::Options uplink;
  std::string topic_template = std::string(kDeviceTopic);
  std::string module_topic_template = std::string(kModuleTopic);
  // "" = no Prometheus endpoint.
  std::string metrics_address;
  // Of kind iothub; its version is the caller's to set.
  std::optional<HubUpstream::Options> hub;
};

// "mqtt://host[:1883]", "mqtts://host[:8883]" or "iothub://host[:8883]"; "" = none. IPv6 addresses in brackets.
struct UpstreamUrl {
  bool is_hub = false;
  std::string host;
  uint16_t port = 0;
  bool tls = false;
};
absl::StatusOr<UpstreamUrl> ParseUpstreamUrl(std::string_view url);

// Reads the section and the files that it names (the password, the certificates). INVALID_ARGUMENT or
// FAILED_PRECONDITION in one line that says what to do.
absl::StatusOr<UplinkOptions> ReadUplinkOptions(const ConfigFile& file, const GatewayOptions& gateway);

}  // namespace holdfast::uplink
