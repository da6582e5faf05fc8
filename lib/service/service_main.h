// What the main() of each service does alike: flags, --version, the one line on stderr that says why it did not start.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "lib/base/stop_signal.h"

namespace holdfast {

struct ServiceFlags {
  std::string config;          // "" = defaults and environment
  std::string instance = "0";  // the socket is <run_dir>/<service>/<instance>.sock
  std::string log_level;       // "" = the configured one
};

// Runs `run` until it returns. Exit code 0, or 1 and "holdfast-<service>: <error>" on stderr; a wrong flag as CLI11 has
// it.
int ServiceMain(int argc, char** argv, const std::string& service, const std::string& description,
                const std::function<absl::Status(const ServiceFlags&, StopSignal&)>& run);

}  // namespace holdfast
