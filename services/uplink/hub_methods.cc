#include "services/uplink/hub_methods.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lib/mqtt/property_bag.h"

namespace holdfast::uplink {
namespace {

constexpr std::string_view kPrefix = "$iothub/methods/POST/";
constexpr size_t kDevicesMax = 1000;

}  // namespace

absl::StatusOr<MethodCall> ParseMethodTopic(std::string_view topic) {
  if (!topic.starts_with(kPrefix)) return absl::InvalidArgumentError("it is no method's topic");
  topic.remove_prefix(kPrefix.size());
  const size_t slash = topic.find('/');
  if (slash == std::string_view::npos || slash == 0 || topic.substr(slash + 1, 1) != "?") {
    return absl::InvalidArgumentError("it is no method's topic");
  }
  std::string scratch;
  MethodCall call{std::string(mqtt::PercentDecode(topic.substr(0, slash), &scratch)), ""};
  mqtt::BagReader query(topic.substr(slash + 2));
  while (const auto property = query.Next()) {
    if (mqtt::DecodesTo(property->key, "$rid")) call.rid = std::string(property->value);
  }
  if (call.rid.empty()) return absl::InvalidArgumentError("it has no $rid");
  return call;
}

std::string MethodResponseTopic(std::string_view rid, int status) {
  return fmt::format("$iothub/methods/res/{}/?$rid={}", status, rid);
}

absl::StatusOr<std::vector<std::string>> ParseRefreshPayload(std::string_view payload) {
  std::vector<std::string> ids;
  if (payload.empty()) return ids;
  const auto json = nlohmann::json::parse(payload, nullptr, false);
  const absl::Status bad = absl::InvalidArgumentError(
      fmt::format("the payload must be null or {{\"deviceIds\": […]}}, at most {}", kDevicesMax));
  if (json.is_null()) return ids;
  if (!json.is_object()) return bad;
  const auto list = json.find("deviceIds");
  if (list == json.end() || list->is_null()) return ids;
  if (!list->is_array() || list->size() > kDevicesMax) return bad;
  for (const auto& id : *list) {
    if (!id.is_string()) return bad;
    ids.push_back(id.get<std::string>());
  }
  return ids;
}

}  // namespace holdfast::uplink
