#include "lib/service/service_main.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "lib/rpc/instance_name.h"

namespace holdfast {

int ServiceMain(int argc, char** argv, const std::string& service, const std::string& description,
                const std::function<absl::Status(const ServiceFlags&, StopSignal&)>& run) {
  StopSignal stop_signal;  // before any thread
  ServiceFlags flags;
  CLI::App app(description);
  app.add_option("--config", flags.config, "holdfast.toml");
  app.add_option("--instance", flags.instance,
                 fmt::format("Name of this instance: its socket is <run_dir>/{}/<instance>.sock; %H is the host's name",
                             service))
      ->capture_default_str();
  app.add_option("--log-level", flags.log_level, "trace, debug, info, warn, error or off; wins over [log] level");
  app.set_version_flag("--version", fmt::format("holdfast-{} {}", service, HOLDFAST_VERSION));
  CLI11_PARSE(app, argc, argv);
  auto instance = rpc::InstanceName(flags.instance);
  if (instance.ok()) flags.instance = *instance;
  const absl::Status status = instance.ok() ? run(flags, stop_signal) : instance.status();
  if (status.ok()) return 0;
  fmt::print(stderr, "holdfast-{}: {}\n", service, std::string(status.message()));
  return 1;
}

}  // namespace holdfast
