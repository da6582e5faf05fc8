// `holdfast health SERVICE`: exit code 0 if it does its work; what a container's health check runs.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/output.h"
#include "lib/rpc/instance_name.h"

namespace holdfast::cli {
namespace {

struct HealthOptions {
  std::string service;
  std::string instance = "0";
  std::optional<std::string> grpc_service;
  double timeout_seconds = 3;
};

int RunHealth(const Context& context, const HealthOptions& health) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto name = rpc::InstanceName(health.instance);
  if (!name.ok()) return Fail(context, name.status());
  const Instance instance{health.service, *name, fmt::format("{}/{}/{}.sock", options->run_dir, health.service, *name)};
  const HealthReport report =
      Gateway(options->run_dir)
          .CheckHealth(instance, absl::Seconds(health.timeout_seconds),
                       health.grpc_service ? *health.grpc_service : WorkingService(health.service));
  if (context.json) {
    PrintJson({{"service", health.service},
               {"health", HealthName(report.health)},
               {"pid", report.pid},
               {"detail", report.detail}});
  } else {
    fmt::print("{} {}\n", health.service, HealthName(report.health));
    std::fflush(stdout);
    if (!report.detail.empty()) fmt::print(stderr, "holdfast: {}\n", report.detail);
  }
  return report.health == Health::kServing ? kExitOk : kExitFailed;
}

}  // namespace

void AddHealthCommand(CLI::App* app, Context* context) {
  auto options = std::make_shared<HealthOptions>();
  CLI::App* health = app->add_subcommand("health", "Asks one service for its health: exit code 0 if it does its work");
  health->add_option("service", options->service, "store, auth, router or uplink")
      ->required()
      ->check(CLI::IsMember({"store", "auth", "router", "uplink"}));
  health->add_option("--instance", options->instance, "Instance of the service; %H is this host's name")
      ->capture_default_str();
  health->add_option("--grpc-service", options->grpc_service,
                     "One of its gRPC services, such as holdfast.store.v1.KeyValue; \"\" = whether the process is up");
  health->add_option("--timeout", options->timeout_seconds, "Seconds to wait for the answer")
      ->check(CLI::Range(0.1, 60.0))
      ->capture_default_str();
  health->footer("Example, in compose.yaml:\n  healthcheck: {test: [\"CMD\", \"holdfast\", \"health\", \"store\"]}");
  health->callback([context, options] { context->run = [context, options] { return RunHealth(*context, *options); }; });
}

}  // namespace holdfast::cli
