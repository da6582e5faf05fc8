// The simulated hub of `holdfast dev --hub iothub`, in a folder of its own:
//
//   registry.json            gateway edge1, its children dev1… and modules mod1…; kept, and saved by the hub whenever
//   it changes; 0600 hub.json                 ports and service key, kept; 0600 edge_connection_string
//   edge1/$edgeHub's, for auth; 0600 ca/                      the hub's own CAs; uplink trusts ca/root_ca.pem
//   server.pem, server.key   the hub's TLS certificate, made anew at each start
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/dev_device.h"

namespace holdfast::cli {

struct DevHub {
  std::vector<std::string> arguments;    // of holdfast-hubsim
  std::vector<std::string> environment;  // for the services: HOLDFAST_…
  uint16_t mqtts_port = 0;
  uint16_t control_port = 0;
  std::string rest_url;
  std::string control_url;
  std::string service_connection_string;
  std::vector<DevDevice> devices;  // children of edge1 that have a symmetric key
  std::vector<DevModule> modules;  // of edge1, likewise
};

// Makes in `dir` what is missing, devices dev1…dev<devices> and modules mod1…mod<modules> of edge1 among it.
// INVALID_ARGUMENT for a file in it that can't be used.
absl::StatusOr<DevHub> PrepareDevHub(const std::string& dir, const std::string& hub_hostname, int devices, int modules);

}  // namespace holdfast::cli
