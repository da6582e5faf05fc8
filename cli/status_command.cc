// `holdfast status`: one look at the whole gateway. What can't be asked is shown as such; the
// rest is shown all the same.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/gateway_snapshot.h"
#include "cli/output.h"
#include "cli/reports.h"

namespace holdfast::cli {
namespace {

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
  status->callback([context] { context->run = [context] { return RunStatus(*context); }; });
}

}  // namespace holdfast::cli
