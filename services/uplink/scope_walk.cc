#include "services/uplink/scope_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "lib/mqtt/property_bag.h"
#include "services/uplink/hub_login.h"

namespace holdfast::uplink {
namespace {

constexpr std::string_view kNestedVersion = "2020-06-30-preview";
constexpr std::string_view kFlatVersion = "2018-08-30-preview";

std::string Encode(std::string_view text) {
  std::string out;
  mqtt::AppendPercentEncoded(text, &out);
  return out;
}

std::string Path(const ScopeOptions& options, std::string_view what) {
  return fmt::format("/devices/{}/modules/{}/{}", Encode(options.gateway), kEdgeHub, what);
}

std::string Dump(const nlohmann::json& body) {
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string Chain(const ScopeOptions& options, std::string_view identity, std::string_view parents) {
  return AuthChain({"", options.gateway}, identity, parents);
}

}  // namespace

ScopeCall SingleCall(const ScopeOptions& options, const iothub::Identity& identity, std::string_view parents) {
  if (options.api == ScopeApi::kFlat) {
    return {false,
            fmt::format("{}?targetDeviceId={}&targetModuleId={}&api-version={}",
                        Path(options, "deviceAndModuleInDeviceScope"), Encode(identity.device_id),
                        Encode(identity.module_id), kFlatVersion),
            ""};
  }
  nlohmann::json body = {{"targetDeviceId", identity.device_id},
                         {"authChain", Chain(options, identity.ClientId(), parents)}};
  if (!identity.module_id.empty()) body["targetModuleId"] = identity.module_id;
  return {true, fmt::format("{}?api-version={}", Path(options, "getDeviceAndModuleOnBehalfOf"), kNestedVersion),
          Dump(body)};
}

ScopeWalk::ScopeWalk(ScopeOptions options) : options_(std::move(options)) {
  seen_.insert(options_.gateway);
  targets_.push_back({options_.gateway, "", 0});
}

ScopeWalk::ScopeWalk(ScopeOptions options, const std::string& child, const std::string& above)
    : options_(std::move(options)) {
  seen_.insert(options_.gateway);
  seen_.insert(child);
  const auto between = above.empty() ? 0 : 1 + std::ranges::count(above, ';');
  if (between < kScopeDepthMax) targets_.push_back({child, above, static_cast<int>(between) + 1});
}

std::optional<ScopeCall> ScopeWalk::Next() const {
  if (targets_.empty()) return std::nullopt;
  if (options_.api == ScopeApi::kFlat) {
    if (continuation_) return ScopeCall{false, *continuation_, ""};
    return ScopeCall{false,
                     fmt::format("{}?deviceCount={}&continuationToken=&api-version={}",
                                 Path(options_, "devicesAndModulesInDeviceScope"), options_.page_size, kFlatVersion),
                     ""};
  }
  const Target& target = targets_.front();
  nlohmann::json body = {{"pageSize", options_.page_size},
                         {"authChain", Chain(options_, target.device_id, target.above)}};
  if (continuation_) body["continuationLink"] = *continuation_;
  return ScopeCall{
      true, fmt::format("{}?api-version={}", Path(options_, "devicesAndModulesInTargetDeviceScope"), kNestedVersion),
      Dump(body)};
}

absl::Status ScopeWalk::OnPage(const ScopePage& page) {
  const Target target = targets_.front();
  if (++pages_ > kScopePagesMax) {
    return absl::InvalidArgumentError(fmt::format("the hub's device scope has more than {} pages", kScopePagesMax));
  }
  if (page.continuation && page.continuation == continuation_) {
    return absl::InvalidArgumentError("the hub's continuationLink leads to the same page again");
  }
  if (page.continuation && options_.api == ScopeApi::kFlat &&
      (!page.continuation->starts_with('/') || page.continuation->starts_with("//"))) {
    return absl::InvalidArgumentError("the hub's continuationLink is no path on the hub");
  }
  // The gateways between a child of the target and ours.
  std::string above = target.above;
  if (target.depth > 0) above = target.above.empty() ? target.device_id : target.device_id + ";" + target.above;
  for (const ScopeDevice& device : page.devices) {
    if (device.id == target.device_id) continue;
    if (target.depth > 0) parents_[device.id] = above;
    const bool follow = device.is_gateway && options_.api == ScopeApi::kNested && target.depth < kScopeDepthMax;
    if (follow && seen_.insert(device.id).second) targets_.push_back({device.id, above, target.depth + 1});
  }
  continuation_ = page.continuation;
  if (!continuation_) targets_.pop_front();
  return absl::OkStatus();
}

bool ScopeWalk::FallBack() {
  if (options_.api != ScopeApi::kNested || pages_ > 0 || targets_.empty() || targets_.front().depth > 0) return false;
  options_.api = ScopeApi::kFlat;
  return true;
}

}  // namespace holdfast::uplink
