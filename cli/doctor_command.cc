// `holdfast doctor`: checks what usually goes wrong, and says what to do about each.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/output.h"
#include "cli/reports.h"
#include "cli/uplink_status.h"
#include "cli/wire.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "holdfast/router/v1/router.grpc.pb.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/clock.h"
#include "lib/base/status.h"
#include "lib/pki/certificate.h"
#include "lib/pki/certificate_files.h"

namespace holdfast::cli {
namespace {

constexpr absl::Duration kHealthTimeout = absl::Seconds(2);
constexpr absl::Duration kExpirySoon = absl::Hours(24 * 30);
constexpr absl::Duration kServerExpirySoon = absl::Hours(24 * 7);
constexpr double kDiskLow = 2.0;  // Times the store's floor.

enum class Verdict { kOk, kWarning, kFault };

struct Check {
  std::string name;
  Verdict verdict = Verdict::kOk;
  std::string finding;
  std::string advice;  // What to do; empty if ok.
};

std::string_view VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kWarning:
      return "warning";
    case Verdict::kFault:
      return "fault";
  }
  return "fault";
}

Check CheckClock() {
  const absl::Time now = Clock::System()->WallNow();
  if (now < pki::Floor()) {
    return {"clock", Verdict::kFault, fmt::format("the clock says {}, which can't be", HumanTime(now)),
            "Set the clock or let NTP set it. Stored messages are safe: their time to live counts elapsed time, not "
            "the clock"};
  }
  if (!Clock::System()->WallIsSynchronized()) {
    return {"clock", Verdict::kWarning, fmt::format("{}, not synchronised by NTP or PTP", HumanTime(now)),
            "Run chrony or systemd-timesyncd, so that the expiry of tokens can be trusted"};
  }
  return {"clock", Verdict::kOk, HumanTime(now) + ", synchronised", ""};
}

Check CheckService(const Gateway& gateway, const Instance& instance) {
  const std::string name = instance.name == "0" ? instance.service : instance.service + "/" + instance.name;
  const HealthReport report = gateway.CheckHealth(instance, kHealthTimeout, WorkingService(instance.service));
  if (report.health == Health::kServing) return {name, Verdict::kOk, fmt::format("serving, pid {}", report.pid), ""};
  return {name, Verdict::kFault, std::string(HealthName(report.health)), report.detail};
}

absl::StatusOr<store::v1::GetStoreStatusResponse> AskStore(const Gateway& gateway) {
  return gateway.Call<store::v1::StoreStatus, store::v1::GetStoreStatusResponse>(
      "store", &store::v1::StoreStatus::Stub::GetStoreStatus, store::v1::GetStoreStatusRequest());
}

std::vector<Check> CheckStore(const absl::StatusOr<store::v1::GetStoreStatusResponse>& status) {
  if (!status.ok()) return {};  // CheckService has said so.
  std::vector<Check> checks;
  const std::string free = fmt::format("{} free, floor {}", HumanBytes(status->disk_free_bytes()),
                                       HumanBytes(status->disk_free_floor_bytes()));
  if (status->state() != store::v1::GetStoreStatusResponse::STATE_SERVING) {
    checks.push_back(
        {"storage", Verdict::kFault, status->reason(),
         "Free disk space, raise [store] limits, or bring the hub back so that the backlog drains. Clients wait "
         "meanwhile and lose nothing"});
  } else if (static_cast<double>(status->disk_free_bytes()) <
             kDiskLow * static_cast<double>(status->disk_free_floor_bytes())) {
    checks.push_back(
        {"storage", Verdict::kWarning, free, "Free disk space soon: at the floor the gateway takes no more messages"});
  } else {
    checks.push_back({"storage", Verdict::kOk, free, ""});
  }
  if (status->storage_is_volatile()) {
    checks.push_back({"data directory", Verdict::kWarning,
                      fmt::format("{} lies on {}: a reboot or a new container loses what is stored", status->data_dir(),
                                  status->filesystem()),
                      "Mount a volume or a folder of the host there"});
  }
  if (status->damaged_files_size() > 0) {
    checks.push_back({"data files", Verdict::kWarning,
                      fmt::format("{} damaged files set aside, {} records lost with them", status->damaged_files_size(),
                                  status->corrupt_records()),
                      fmt::format("Look at {} and at the disk's health (smartctl)", status->damaged_files(0))});
  }
  return checks;
}

std::vector<Check> CheckRouter(const Gateway& gateway) {
  const auto status = gateway.Call<router::v1::Sessions, router::v1::GetRouterStatusResponse>(
      "router", &router::v1::Sessions::Stub::GetRouterStatus, router::v1::GetRouterStatusRequest());
  if (!status.ok()) return {};
  std::vector<Check> checks;
  if (status->mqtts_port() == 0) {
    checks.push_back({"listeners", Verdict::kWarning, "MQTT over TLS is off",
                      "Set [router] mqtts_address; run `holdfast certs init` if there is no device CA"});
  } else {
    checks.push_back(
        {"listeners", Verdict::kOk,
         fmt::format("MQTT over TLS on {}{}", status->mqtts_port(),
                     status->mqtt_port() > 0 ? fmt::format(", plain MQTT on {}", status->mqtt_port()) : ""),
         ""});
  }
  if (!status->has_certificate_not_after()) return checks;
  const absl::Time end = ToTime(status->certificate_not_after());
  if (end < absl::Now() + kServerExpirySoon) {
    checks.push_back({"server certificate", end < absl::Now() ? Verdict::kFault : Verdict::kWarning,
                      fmt::format("ends {}", HumanTime(end)),
                      "It should have been renewed by now: look at auth's and router's logs"});
  } else {
    checks.push_back(
        {"server certificate", Verdict::kOk, fmt::format("valid until {}, renewed before", HumanTime(end)), ""});
  }
  return checks;
}

std::vector<Check> CheckUplink(const Gateway& gateway) {
  const auto status = LeadingUplinkStatus(gateway);
  if (!status.ok()) return {};
  if (status->state() == uplink::v1::LINK_STATE_ONLINE && !status->stalled()) {
    return {{"hub", Verdict::kOk, fmt::format("online, {}", status->upstream()), ""}};
  }
  if (status->stalled()) {
    return {{"hub", Verdict::kFault, fmt::format("connected to {}, but it acknowledges nothing", status->upstream()),
             "Look at the hub: its quota, its disk, its log"}};
  }
  if (status->has_override() && status->override().mode() == uplink::v1::LINK_MODE_OFFLINE) {
    return {{"hub", Verdict::kWarning, status->reason(), "`holdfast link auto` brings the link back"}};
  }
  if (status->upstream().empty()) {
    return {{"hub", Verdict::kWarning, "none is configured; messages are held",
             "Set [uplink] upstream = \"mqtt://HOST:PORT\""}};
  }
  return {{"hub", Verdict::kWarning,
           fmt::format("{} since {}: {}", LinkStateName(status->state()), HumanTime(ToTime(status->since())),
                       status->reason()),
           fmt::format("Devices are served all the same. If {} should be reachable: check the network, its name and "
                       "port, and the credentials",
                       status->upstream())}};
}

Check CheckIdentities(const Gateway& gateway) {
  const auto response = gateway.Call<auth::v1::Identities, auth::v1::ListIdentitiesResponse>(
      "auth", &auth::v1::Identities::Stub::ListIdentities, auth::v1::ListIdentitiesRequest());
  if (!response.ok())
    return {"identities", Verdict::kFault, "can't be asked", std::string(response.status().message())};
  if (response->identities_size() == 0) {
    return {"identities", Verdict::kWarning, "none: no device can connect",
            "Write identities.toml, name it in [auth] identities_file, restart auth"};
  }
  return {"identities", Verdict::kOk, fmt::format("{}", response->identities_size()), ""};
}

std::vector<Check> CheckAuthorities(const std::string& dir) {
  std::vector<Check> checks;
  for (const char* file : {pki::kRootCaFile, pki::kDeviceCaFile}) {
    const std::string path = dir + "/" + file;
    const auto chain = pki::Certificate::ChainFromFile(path);
    if (!chain.ok()) {
      const bool missing = absl::IsNotFound(chain.status());
      checks.push_back(
          {file, missing ? Verdict::kFault : Verdict::kWarning, std::string(chain.status().message()),
           missing ? "Run `holdfast certs init`" : "Run doctor as the gateway's user or as root to check it"});
      continue;
    }
    const absl::Time end = chain->front().not_after();
    const bool soon = end < absl::Now() + kExpirySoon;
    checks.push_back({file,
                      end < absl::Now() ? Verdict::kFault
                      : soon            ? Verdict::kWarning
                                        : Verdict::kOk,
                      fmt::format("valid until {}", HumanTime(end)),
                      soon ? fmt::format("Move the files of {} away, run `holdfast certs init`, give clients the new "
                                         "root, restart auth and router",
                                         dir)
                           : ""});
  }
  return checks;
}

// Where the CAs lie: by the configuration; if that was not given, beside the data of the store that runs.
std::string SecretsDirectory(const GatewayOptions& options,
                             const absl::StatusOr<store::v1::GetStoreStatusResponse>& store) {
  std::error_code error;
  const std::filesystem::path configured = options.data_dir;
  if (std::filesystem::exists(configured, error) || !store.ok()) return configured / "secrets";
  return std::filesystem::path(store->data_dir()).parent_path() / "secrets";
}

template <typename T>
void AppendAll(std::vector<T> from, std::vector<T>* to) {
  to->insert(to->end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

std::vector<Check> RunChecks(const Context& context) {
  std::vector<Check> checks;
  const auto options = ResolveOptions(context);
  if (!options.ok()) {
    checks.push_back({"configuration", Verdict::kFault, std::string(options.status().message()), "Correct that line"});
    return checks;
  }
  checks.push_back({"configuration", Verdict::kOk,
                    context.config_path.empty() ? "defaults and environment" : context.config_path, ""});
  checks.push_back(CheckClock());
  const Gateway gateway(options->run_dir);
  const auto store = AskStore(gateway);
  AppendAll(CheckAuthorities(SecretsDirectory(*options, store)), &checks);
  std::error_code error;
  if (!std::filesystem::exists(options->run_dir, error)) {
    checks.push_back({"sockets", Verdict::kFault, fmt::format("{} does not exist", options->run_dir),
                      "Start the gateway, or say where its sockets are with --run-dir or HOLDFAST_RUN_DIR"});
    return checks;
  }
  for (const std::string_view service : kServices) {
    for (const Instance& instance : gateway.Instances(service)) checks.push_back(CheckService(gateway, instance));
  }
  AppendAll(CheckStore(store), &checks);
  checks.push_back(CheckIdentities(gateway));
  AppendAll(CheckRouter(gateway), &checks);
  AppendAll(CheckUplink(gateway), &checks);
  return checks;
}

size_t Count(const std::vector<Check>& checks, Verdict verdict) {
  return static_cast<size_t>(
      std::count_if(checks.begin(), checks.end(), [verdict](const Check& check) { return check.verdict == verdict; }));
}

nlohmann::json ChecksJson(const std::vector<Check>& checks) {
  nlohmann::json list = nlohmann::json::array();
  for (const Check& check : checks) {
    list.push_back({{"check", check.name},
                    {"verdict", VerdictName(check.verdict)},
                    {"finding", check.finding},
                    {"advice", check.advice}});
  }
  return {{"checks", std::move(list)},
          {"faults", Count(checks, Verdict::kFault)},
          {"warnings", Count(checks, Verdict::kWarning)}};
}

int RunDoctor(const Context& context) {
  const std::vector<Check> checks = RunChecks(context);
  const size_t faults = Count(checks, Verdict::kFault);
  if (context.json) {
    PrintJson(ChecksJson(checks));
  } else {
    for (const Check& check : checks) {
      fmt::print("{:<8} {:<19} {}\n", VerdictName(check.verdict), check.name, check.finding);
      if (!check.advice.empty()) fmt::print("{:<8} {:<19} → {}\n", "", "", check.advice);
    }
    fmt::print("\n{} faults, {} warnings\n", faults, Count(checks, Verdict::kWarning));
  }
  return faults == 0 ? kExitOk : kExitFailed;
}

}  // namespace

nlohmann::json DoctorReport(const Context& context) {
  return ChecksJson(RunChecks(context));
}

void AddDoctorCommand(CLI::App* app, Context* context) {
  CLI::App* doctor = app->add_subcommand("doctor", "Checks what usually goes wrong, and says what to do");
  doctor->footer(
      "Exit code 0 if there are no faults; warnings are no faults.\n\nExamples:\n  holdfast doctor\n"
      "  holdfast --config ./gw/holdfast.toml doctor");
  doctor->callback([context] { context->run = [context] { return RunDoctor(*context); }; });
}

}  // namespace holdfast::cli
