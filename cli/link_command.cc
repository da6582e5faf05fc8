// `holdfast link [show|offline|online|auto]`: the link to the hub, and an operator's word on it.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/time/clock.h"
#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/output.h"
#include "cli/uplink_status.h"
#include "holdfast/uplink/v1/uplink.grpc.pb.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

using uplink::v1::LinkMode;

// The uplink that leads is told by the store, a moment later than the one that was called.
constexpr absl::Duration kInForceMax = absl::Seconds(5);
constexpr absl::Duration kPoll = absl::Milliseconds(20);

void Print(const Context& context, const uplink::v1::GetUplinkStatusResponse& status) {
  if (context.json) return PrintJson({{"link", LinkJson(status)}});
  fmt::print("{}", LinkText(status));
}

int RunShow(const Context& context) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto status = LeadingUplinkStatus(Gateway(options->run_dir));
  if (!status.ok()) return Fail(context, status.status());
  Print(context, *status);
  return kExitOk;
}

absl::StatusOr<uplink::v1::SetLinkRequest> RequestOf(LinkMode mode, const std::string& lasts) {
  uplink::v1::SetLinkRequest request;
  request.set_mode(mode);
  absl::Duration duration;
  if (lasts == "ever") {
    request.set_for_ever(true);
  } else if (!lasts.empty()) {
    if (!absl::ParseDuration(lasts, &duration)) {
      return absl::InvalidArgumentError(
          fmt::format("--for {} is no time: write 90s, 30m, 1h30m, or ever for one without an end", lasts));
    }
    const int64_t ms = absl::ToInt64Milliseconds(duration);
    request.mutable_duration()->set_seconds(ms / 1000);
    request.mutable_duration()->set_nanos(static_cast<int32_t>(ms % 1000 * 1'000'000));
  }
  return request;
}

bool IsInForce(const uplink::v1::GetUplinkStatusResponse& status, LinkMode mode) {
  const LinkMode now = status.has_override() ? status.override().mode() : uplink::v1::LINK_MODE_AUTO;
  if (!status.leads() || now != mode) return false;
  return mode != uplink::v1::LINK_MODE_OFFLINE || status.state() == uplink::v1::LINK_STATE_OFFLINE;
}

int RunSet(const Context& context, LinkMode mode, const std::string& lasts) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto request = RequestOf(mode, lasts);
  if (!request.ok()) return Fail(context, request.status());
  const Gateway gateway(options->run_dir);
  const auto set = gateway.Call<uplink::v1::LinkControl, uplink::v1::SetLinkResponse>(
      "uplink", &uplink::v1::LinkControl::Stub::SetLink, *request);
  if (!set.ok()) return Fail(context, set.status());
  const absl::Time deadline = absl::Now() + kInForceMax;
  while (true) {
    const auto status = LeadingUplinkStatus(gateway);
    if (!status.ok()) return Fail(context, status.status());
    if (IsInForce(*status, mode)) {
      Print(context, *status);
      return kExitOk;
    }
    if (absl::Now() >= deadline) {
      return Fail(context, absl::DeadlineExceededError("it is set, but no uplink does it yet: `holdfast link` shows "
                                                       "whether one leads"));
    }
    absl::SleepFor(kPoll);
  }
}

void AddMode(CLI::App* link, Context* context, LinkMode mode, const std::string& description) {
  auto lasts = std::make_shared<std::string>();
  CLI::App* app = link->add_subcommand(std::string(LinkModeName(mode)), description);
  if (mode != uplink::v1::LINK_MODE_AUTO) {
    app->add_option("--for", *lasts, "How long: 90s, 30m, 2h (30 days at most), or ever [1h]");
  }
  app->callback([=] { context->run = [=] { return RunSet(*context, mode, *lasts); }; });
}

}  // namespace

void AddLinkCommand(CLI::App* app, Context* context) {
  CLI::App* link = app->add_subcommand("link", "The link to the hub; rehearses an outage");
  link->footer(
      "What is set outlives restarts and ends by itself, after an hour if nothing else is said.\n\nExamples:\n"
      "  holdfast link\n  holdfast link offline --for 10m\n  holdfast link auto\n"
      "  holdfast --json link | jq .link.override");
  link->require_subcommand(0, 1);
  link->callback([context, link] {
    if (link->get_subcommands().empty()) context->run = [context] { return RunShow(*context); };
  });
  CLI::App* show = link->add_subcommand("show", "State, reason, lag, override (what `link` alone does)");
  show->callback([context] { context->run = [context] { return RunShow(*context); }; });
  AddMode(link, context, uplink::v1::LINK_MODE_OFFLINE, "As if the line to the hub were cut, until the time is over");
  AddMode(link, context, uplink::v1::LINK_MODE_ONLINE, "Tries at once, and goes on trying without long waits");
  AddMode(link, context, uplink::v1::LINK_MODE_AUTO, "Ends an override: uplink judges by itself again");
}

}  // namespace holdfast::cli
