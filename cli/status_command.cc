// `holdfast status`: one look at the whole gateway, or one after the other. What can't be asked is shown as such; the
// rest is shown all the same.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/gateway_snapshot.h"
#include "cli/output.h"
#include "cli/reports.h"
#include "cli/status_watch.h"

namespace holdfast::cli {
namespace {

constexpr double kIntervalMin = 0.2;
constexpr double kIntervalMax = 3600;

struct StatusOptions {
  bool watch = false;
  double interval_seconds = 2;
};

int RunStatus(const Context& context) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const Gateway gateway(options->run_dir);
  const GatewaySnapshot snapshot = TakeSnapshot(gateway);
  if (context.json) {
    PrintJson(SnapshotJson(gateway, snapshot));
  } else {
    fmt::print("{}", SnapshotText(snapshot));
    std::fflush(stdout);
    for (const auto& [instance, report] : snapshot.services) {
      if (!report.detail.empty()) fmt::print(stderr, "holdfast: {}\n", report.detail);
    }
  }
  return snapshot.healthy() ? kExitOk : kExitFailed;
}

int RunWatch(const Context& context, const StatusOptions& watch) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const Gateway gateway(options->run_dir);
  WatchStatus(gateway, absl::Seconds(watch.interval_seconds), context.json, [&] {
    const GatewaySnapshot snapshot = TakeSnapshot(gateway);
    if (context.json) return JsonLine(SnapshotJson(gateway, snapshot));
    return fmt::format("{}  {}\n\n{}", HumanTime(absl::Now()), gateway.run_dir(), SnapshotText(snapshot));
  });
  return kExitOk;
}

}  // namespace

nlohmann::json StatusReport(const Gateway& gateway) {
  return SnapshotJson(gateway, TakeSnapshot(gateway));
}

void AddStatusCommand(CLI::App* app, Context* context) {
  CLI::App* status = app->add_subcommand(
      "status", "Health of each service, the link to the hub, lag, clients, storage, readiness for an outage");
  status->footer(
      "Exit code 0 if every service is healthy; with --watch, when it was ended. A hub that is away is not a "
      "fault.\n\nExamples:\n"
      "  holdfast status\n  holdfast status --watch\n  holdfast --run-dir ./gw/run status\n"
      "  holdfast --json status | jq .link.state\n  holdfast --json status --watch | jq --unbuffered "
      ".link.lag_messages\n"
      "  holdfast --json status | jq -e .offline.ready");
  const auto options = std::make_shared<StatusOptions>();
  status->add_flag("--watch", options->watch,
                   "Goes on until Ctrl-C: again at each change of the link or of the clients, and each --interval");
  status
      ->add_option("--interval", options->interval_seconds, "Seconds between two looks at what does not tell by itself")
      ->check(CLI::Range(kIntervalMin, kIntervalMax))
      ->capture_default_str();
  status->callback([context, options] {
    context->run = [context, options] { return options->watch ? RunWatch(*context, *options) : RunStatus(*context); };
  });
}

}  // namespace holdfast::cli
