#include "cli/uplink_status.h"

#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/time/clock.h"
#include "cli/output.h"
#include "cli/wire.h"
#include "holdfast/uplink/v1/uplink.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

nlohmann::json ScopeJson(const uplink::v1::ScopeSync& scope) {
  return {{"last_sync",
           scope.has_last_sync() ? nlohmann::json(HumanTime(ToTime(scope.last_sync()))) : nlohmann::json(nullptr)},
          {"last_error", scope.last_error()},
          {"syncing", scope.syncing()},
          {"identities", scope.identities()}};
}

nlohmann::json TroublesJson(const uplink::v1::GetUplinkStatusResponse& status) {
  nlohmann::json troubles = nlohmann::json::array();
  for (const auto& trouble : status.troubles()) {
    troubles.push_back({{"device_id", trouble.device_id()},
                        {"module_id", trouble.module_id()},
                        {"reason", trouble.reason()},
                        {"since", HumanTime(ToTime(trouble.since()))},
                        {"messages", trouble.messages()},
                        {"holds_line", trouble.holds_line()}});
  }
  return troubles;
}

nlohmann::json OverrideJson(const uplink::v1::LinkOverride& link_override) {
  return {{"mode", LinkModeName(link_override.mode())},
          {"until", link_override.has_until() ? nlohmann::json(HumanTime(ToTime(link_override.until())))
                                              : nlohmann::json(nullptr)}};
}

std::string ScopeText(const uplink::v1::ScopeSync& scope) {
  std::string text = scope.has_last_sync() ? fmt::format("scope     {} identities, taken from the hub {}",
                                                         scope.identities(), HumanTime(ToTime(scope.last_sync())))
                                           : "scope     not taken from the hub since uplink started";
  if (!scope.last_error().empty()) text += "; the last attempt failed: " + scope.last_error();
  return text + "\n";
}

std::string OverrideText(const uplink::v1::LinkOverride& link_override) {
  return fmt::format("override  {} by hand, {}; `holdfast link auto` ends it\n", LinkModeName(link_override.mode()),
                     link_override.has_until()
                         ? fmt::format("until {}, for {} more", HumanTime(ToTime(link_override.until())),
                                       HumanDuration(ToTime(link_override.until()) - absl::Now()))
                         : "without an end");
}

}  // namespace

absl::StatusOr<uplink::v1::GetUplinkStatusResponse> LeadingUplinkStatus(const Gateway& gateway) {
  ASSIGN_OR_RETURN(
      auto all, (gateway.CallEach<uplink::v1::UplinkStatus, uplink::v1::GetUplinkStatusResponse>(
                    "uplink", &uplink::v1::UplinkStatus::Stub::GetUplinkStatus, uplink::v1::GetUplinkStatusRequest())));
  for (auto& status : all) {
    if (status.leads()) return std::move(status);
  }
  return std::move(all.front());
}

std::string_view LinkModeName(uplink::v1::LinkMode mode) {
  switch (mode) {
    case uplink::v1::LINK_MODE_AUTO:
      return "auto";
    case uplink::v1::LINK_MODE_OFFLINE:
      return "offline";
    case uplink::v1::LINK_MODE_ONLINE:
      return "online";
    default:
      return "unknown";
  }
}

nlohmann::json LinkJson(const uplink::v1::GetUplinkStatusResponse& status) {
  return {{"state", LinkStateName(status.state())},
          {"leader", status.leader()},
          {"since", HumanTime(ToTime(status.since()))},
          {"reason", status.reason()},
          {"override", status.has_override() ? OverrideJson(status.override()) : nlohmann::json(nullptr)},
          {"upstream", status.upstream()},
          {"address", status.address()},
          {"lag_messages", status.lag_messages()},
          {"lag_seconds", status.has_lag() ? absl::ToDoubleSeconds(ToDuration(status.lag())) : 0.0},
          {"in_flight", status.in_flight()},
          {"delivered", status.delivered()},
          {"delivered_per_second", status.delivered_per_second()},
          {"connects", status.connects()},
          {"stalled", status.stalled()},
          {"connections", status.connections()},
          {"scope", status.has_scope() ? ScopeJson(status.scope()) : nlohmann::json(nullptr)},
          {"troubles", TroublesJson(status)},
          {"troubles_total", status.troubles_total()}};
}

std::string LinkText(const uplink::v1::GetUplinkStatusResponse& status) {
  std::string text;
  const auto out = std::back_inserter(text);
  fmt::format_to(out, "link      {} for {}", LinkStateName(status.state()),
                 HumanDuration(absl::Now() - ToTime(status.since())));
  if (!status.upstream().empty()) fmt::format_to(out, ", {}", status.upstream());
  if (!status.address().empty()) fmt::format_to(out, " ({})", status.address());
  if (!status.reason().empty()) fmt::format_to(out, ": {}", status.reason());
  text += '\n';
  if (status.has_override()) text += OverrideText(status.override());
  fmt::format_to(out, "lag       {} messages", status.lag_messages());
  if (status.has_lag() && status.lag_messages() > 0) {
    fmt::format_to(out, ", the oldest waits for {}", HumanDuration(ToDuration(status.lag())));
  }
  fmt::format_to(out, "\ndelivered {} since uplink started, {:.0f}/s now, {} in flight\n", status.delivered(),
                 status.delivered_per_second(), status.in_flight());
  if (status.stalled()) text += "          STALLED: connected, but the hub acknowledges nothing\n";
  if (status.has_scope()) text += ScopeText(status.scope());
  for (const auto& trouble : status.troubles()) {
    fmt::format_to(out, "trouble   {}{}{}: {}; {} messages wait{}\n", Printable(trouble.device_id()),
                   trouble.module_id().empty() ? "" : "/", Printable(trouble.module_id()), trouble.reason(),
                   trouble.messages(), trouble.holds_line() ? ", and everybody behind them" : "");
  }
  return text;
}

}  // namespace holdfast::cli
