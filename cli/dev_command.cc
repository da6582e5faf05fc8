// `holdfast dev`: a whole gateway in the foreground.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/context.h"
#include "cli/dev_directory.h"
#include "cli/free_ports.h"
#include "cli/gateway.h"
#include "cli/output.h"
#include "cli/supervisor.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

constexpr absl::Duration kReadyCallTimeout = absl::Milliseconds(300);
constexpr size_t kDevicesShown = 10;
constexpr char kHub[] = "hub";

// The service binaries lie beside this one.
absl::StatusOr<std::string> OwnDirectory() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return ErrnoStatus(error.value(), "can't find out where this program is");
  return self.parent_path().string();
}

absl::Status CheckProgram(const std::string& path) {
  if (::access(path.c_str(), X_OK) == 0) return absl::OkStatus();
  return absl::NotFoundError(fmt::format("{} is missing; the programs of Holdfast belong in one folder", path));
}

// In the order of their start: the hub, if it is ours, before those who look for it.
absl::StatusOr<std::vector<ChildSpec>> MakeSpecs(const DevDirectory& d, const std::string& log_level) {
  ASSIGN_OR_RETURN(const std::string bin, OwnDirectory());
  std::vector<ChildSpec> specs;
  if (d.hub) {
    ChildSpec spec{.name = kHub, .argv = {bin + "/holdfast-hubsim"}, .environment = {}};
    spec.argv.insert(spec.argv.end(), d.hub->arguments.begin(), d.hub->arguments.end());
    RETURN_IF_ERROR(CheckProgram(spec.argv[0]));
    specs.push_back(std::move(spec));
  }
  for (const std::string_view service : kServices) {
    ChildSpec spec;
    spec.name = std::string(service);
    spec.argv = {fmt::format("{}/holdfast-{}", bin, service), "--config", d.config_path};
    if (!log_level.empty()) spec.argv.insert(spec.argv.end(), {"--log-level", log_level});
    spec.environment = d.environment;
    RETURN_IF_ERROR(CheckProgram(spec.argv[0]));
    specs.push_back(std::move(spec));
  }
  return specs;
}

nlohmann::json DevJson(const DevDirectory& d, const nlohmann::json& pids) {
  nlohmann::json devices = nlohmann::json::array();
  for (const DevDevice& device : d.devices) {
    devices.push_back({{"id", device.id}, {"key", device.key}, {"connection_string", ConnectionString(d, device)}});
  }
  nlohmann::json result = {{"mqtt_port", d.mqtt_port},       {"mqtts_port", d.mqtts_port},
                           {"https_port", d.https_port},     {"ca_file", d.ca_file},
                           {"run_dir", d.run_dir},           {"data_dir", d.data_dir},
                           {"hub_hostname", d.hub_hostname}, {"pids", pids},
                           {"devices", std::move(devices)}};
  if (!d.modules.empty()) result["modules"] = nlohmann::json::array();
  for (const DevModule& module : d.modules) {
    result["modules"].push_back(
        {{"id", module.id}, {"device_id", kOwnDevice}, {"environment", ModuleEnvironment(d, module)}});
  }
  if (d.hub) {
    result["hub_mqtts_port"] = d.hub->mqtts_port;
    result["hub_rest_url"] = d.hub->rest_url;
    result["hub_control_url"] = d.hub->control_url;
    result["service_connection_string"] = d.hub->service_connection_string;
  }
  return result;
}

void PrintPeople(const DevDirectory& d, const std::optional<std::string>& upstream) {
  fmt::print("\nThe gateway is up.\n\n");
  fmt::print("  MQTT over TLS   {}:{}   trust {}\n", d.hostname, d.mqtts_port, d.ca_file);
  fmt::print("  plain MQTT      127.0.0.1:{}   (this machine only)\n", d.mqtt_port);
  if (upstream) fmt::print("  upstream        {}\n", *upstream);
  if (d.hub) {
    fmt::print("  simulated hub   MQTT over TLS on {}, REST {}\n", d.hub->mqtts_port, d.hub->rest_url);
    fmt::print("  what it got     {}/events\n", d.hub->control_url);
  }
  fmt::print("  status page     holdfast --run-dir {} web\n", d.run_dir);
  fmt::print("  sockets         export HOLDFAST_RUN_DIR={}\n\n", d.run_dir);
  for (size_t i = 0; i < d.devices.size() && i < kDevicesShown; ++i)
    fmt::print("  {}\n", ConnectionString(d, d.devices[i]));
  if (d.devices.size() > kDevicesShown) {
    fmt::print("  … and {} more: {}/dev.json\n", d.devices.size() - kDevicesShown, d.dir);
  }
  for (const DevModule& module : d.modules) {
    fmt::print("  module {}/{}: its environment is in {}/dev.json\n", kOwnDevice, module.id, d.dir);
  }
  fmt::print("\nCtrl-C stops it; everything is kept in {}.\n\n", d.dir);
  std::fflush(stdout);
}

int RunDev(const Context& context, const DevOptions& options) {
  auto directory = PrepareDevDirectory(options);
  if (!directory.ok()) return Fail(context, directory.status());
  auto specs = MakeSpecs(*directory, options.log_level);
  if (!specs.ok()) return Fail(context, specs.status());

  const std::string state_path = directory->dir + "/dev.json";
  const Gateway gateway(directory->run_dir);
  nlohmann::json pids = nlohmann::json::object();
  Supervisor supervisor(
      {}, *std::move(specs),
      [&](const std::string& name) {
        if (name == kHub) return PortAnswers(directory->hub->control_port);
        const Instance instance{name, "0", fmt::format("{}/{}/0.sock", gateway.run_dir(), name)};
        return gateway.CheckHealth(instance, kReadyCallTimeout).health == Health::kServing;
      },
      [&](const std::string& name, pid_t pid) {
        pids[name] = pid;
        const absl::Status written = ReplaceFile(state_path, DevJson(*directory, pids).dump() + "\n");
        if (!written.ok()) fmt::print(stderr, "dev    | {}\n", std::string(written.message()));
      });
  if (const absl::Status status = supervisor.StartAll(); !status.ok()) {
    supervisor.StopAll();
    return absl::IsCancelled(status) ? kExitOk : Fail(context, status);
  }
  if (context.json) {
    PrintJson(DevJson(*directory, pids));
  } else {
    PrintPeople(*directory, options.upstream);
  }
  supervisor.RunUntilStopped();
  supervisor.StopAll();
  return kExitOk;
}

}  // namespace

void AddDevCommand(CLI::App* app, Context* context) {
  auto options = std::make_shared<DevOptions>();
  CLI::App* dev = app->add_subcommand("dev", "A whole gateway in the foreground: no root, no Docker");
  dev->add_option("--dir", options->dir, "Folder for everything; made if missing, used again at the next start")
      ->required();
  dev->add_option("--upstream", options->upstream, "The hub: mqtt://HOST:PORT [none: messages are held]");
  dev->add_option("--hub", options->hub, "iothub: start a simulated hub, and take identities from it")
      ->check(CLI::IsMember({"iothub"}))
      ->excludes("--upstream");
  dev->add_option("--devices", options->devices, "Devices dev1…devN, made where missing")
      ->check(CLI::Range(1, kDevicesMax))
      ->capture_default_str();
  dev->add_option("--modules", options->modules,
                  "Modules mod1…modN of the gateway's own device edge1, made where missing")
      ->check(CLI::Range(0, kModulesMax))
      ->capture_default_str();
  dev->add_option("--mqtt-port", options->mqtt_port, "Plain MQTT on loopback [a free port, kept]")
      ->check(CLI::Range(1, 65535));
  dev->add_option("--https-port", options->https_port, "HTTPS, for method calls of modules [a free port, kept]")
      ->check(CLI::Range(1, 65535));
  dev->add_option("--mqtts-port", options->mqtts_port, "MQTT over TLS [a free port, kept]")
      ->check(CLI::Range(1, 65535));
  dev->add_option("--hostname", options->hostname, "The name by which devices reach this machine [localhost]");
  dev->add_flag("--encrypt", options->encrypt, "Encrypt what is stored; it stays so at later starts");
  dev->add_option("--log-level", options->log_level, "Of the services [the configuration's, else info]")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}));
  dev->footer(
      "Examples:\n  holdfast dev --dir ./gw\n  holdfast dev --dir ./gw --upstream mqtt://localhost:1883 --devices 20\n"
      "  holdfast dev --dir ./gw --hub iothub\n"
      "  holdfast dev --dir ./gw --json 2>gw.log | jq -r '.devices[0].connection_string'");
  dev->callback([context, options] { context->run = [context, options] { return RunDev(*context, *options); }; });
}

}  // namespace holdfast::cli
