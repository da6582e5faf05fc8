#include "services/uplink/hub_topics.h"

#include <fmt/format.h>

#include <charconv>

#include "lib/iothub/request_id.h"
#include "lib/mqtt/property_bag.h"

namespace holdfast::uplink {
namespace {

constexpr std::string_view kMethods = "$iothub/methods/POST/";
constexpr std::string_view kTwinResponses = "$iothub/twin/res/";
constexpr std::string_view kDesired = "$iothub/twin/PATCH/properties/desired/";
constexpr std::string_view kDevices = "devices/";
constexpr std::string_view kDevicebound = "/messages/devicebound/";

// What follows "devices/{device}/messages/devicebound/"; nullopt if the topic is another one.
std::optional<std::string_view> BehindDevicebound(std::string_view topic, std::string_view device) {
  for (const std::string_view part : {kDevices, device, kDevicebound}) {
    if (!topic.starts_with(part)) return std::nullopt;
    topic.remove_prefix(part.size());
  }
  return topic;
}

}  // namespace

HubTopicKind ClassifyHubTopic(std::string_view topic, std::string_view device) {
  if (topic.starts_with(kMethods)) return HubTopicKind::kMethod;
  if (topic.starts_with(kTwinResponses)) return HubTopicKind::kTwinResponse;
  if (topic.starts_with(kDesired)) return HubTopicKind::kDesired;
  return BehindDevicebound(topic, device) ? HubTopicKind::kCloudToDevice : HubTopicKind::kOther;
}

std::string CloudToDeviceFilter(std::string_view device) {
  return fmt::format("{}{}{}#", kDevices, device, kDevicebound);
}

std::string_view CloudToDeviceBag(std::string_view topic, std::string_view device) {
  return mqtt::TrimBag(BehindDevicebound(topic, device).value_or(""));
}

absl::StatusOr<TwinResponse> ParseTwinResponse(std::string_view topic) {
  const absl::Status bad = absl::InvalidArgumentError("it is no answer to a twin request");
  if (!topic.starts_with(kTwinResponses)) return bad;
  topic.remove_prefix(kTwinResponses.size());
  TwinResponse response;
  const auto [end, error] = std::from_chars(topic.data(), topic.data() + topic.size(), response.status);
  if (error != std::errc() || end - topic.data() != 3 || response.status < 100) return bad;
  topic.remove_prefix(3);
  if (!topic.starts_with("/?")) return bad;
  response.rid = iothub::FindRid(topic.substr(1));
  if (response.rid.empty()) return bad;
  return response;
}

std::string TwinGetTopic(std::string_view rid) {
  return fmt::format("$iothub/twin/GET/?$rid={}", rid);
}

std::string ReportedPatchTopic(std::string_view rid) {
  return fmt::format("$iothub/twin/PATCH/properties/reported/?$rid={}", rid);
}

std::optional<absl::Time> ExpiryOf(std::string_view bag) {
  if (mqtt::CheckBag(bag) != mqtt::BagError::kOk) return std::nullopt;
  const auto property = mqtt::FindProperty(bag, "$.exp");
  if (!property || !property->has_value) return std::nullopt;
  std::string scratch;
  const std::string text(mqtt::PercentDecode(property->value, &scratch));
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return time;
  // Without a zone it is UTC.
  if (absl::ParseTime("%Y-%m-%d%ET%H:%M:%E*S", text, &time, &error)) return time;
  return std::nullopt;
}

}  // namespace holdfast::uplink
