#include "tests/hubsim/device_topics.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "lib/iothub/request_id.h"
#include "lib/mqtt/property_bag.h"

namespace holdfast::hubsim {
namespace {

constexpr std::string_view kGet = "$iothub/twin/GET/";
constexpr std::string_view kPatch = "$iothub/twin/PATCH/properties/reported/";
constexpr std::string_view kMethodResponses = "$iothub/methods/res/";

std::string Base(std::string_view device_id, std::string_view module_id) {
  return module_id.empty() ? fmt::format("devices/{}", device_id)
                           : fmt::format("devices/{}/modules/{}", device_id, module_id);
}

Topic Forbidden(std::string_view reason) {
  return {.kind = TopicKind::kForbidden, .reason = reason};
}

Topic MethodResponse(std::string_view rest) {
  const size_t slash = rest.find('/');
  Topic topic{.kind = TopicKind::kMethodResponse};
  const std::string_view status = rest.substr(0, slash);
  const auto parsed = std::from_chars(status.data(), status.data() + status.size(), topic.status);
  if (slash == std::string_view::npos || parsed.ec != std::errc() || parsed.ptr != status.data() + status.size()) {
    return Forbidden("a method response without a status");
  }
  topic.rid = iothub::FindRid(rest.substr(slash + 1));
  return topic.rid.empty() ? Forbidden("a method response without $rid") : topic;
}

}  // namespace

DeviceTopics::DeviceTopics(std::string_view device_id, std::string_view module_id)
    : base_(Base(device_id, module_id)),
      events_(base_ + "/messages/events"),
      devicebound_(base_ + "/messages/devicebound/"),
      is_module_(!module_id.empty()) {}

Topic DeviceTopics::Classify(std::string_view topic) const {
  if (topic.starts_with(events_)) {
    size_t bag_at = events_.size();
    if (bag_at < topic.size() && topic[bag_at++] != '/') return Forbidden("not an events topic");
    if (const auto error = mqtt::CheckBag(topic.substr(bag_at)); error != mqtt::BagError::kOk) {
      return Forbidden(mqtt::Text(error));
    }
    return {.kind = TopicKind::kTelemetry, .bag_at = bag_at};
  }
  if (topic.starts_with(kGet)) {
    const std::string_view rid = iothub::FindRid(topic.substr(kGet.size()));
    return rid.empty() ? Forbidden("a twin request without $rid") : Topic{.kind = TopicKind::kTwinGet, .rid = rid};
  }
  if (topic.starts_with(kPatch))
    return {.kind = TopicKind::kTwinPatch, .rid = iothub::FindRid(topic.substr(kPatch.size()))};
  if (topic.starts_with(kMethodResponses)) return MethodResponse(topic.substr(kMethodResponses.size()));
  return Forbidden(topic.starts_with("devices/") ? "another identity's topic, or none of events"
                                                 : "not a topic of a hub");
}

Filter DeviceTopics::ClassifyFilter(std::string_view filter, bool* foreign) const {
  *foreign = false;
  if (filter == "$iothub/twin/res/#") return kTwinResponses;
  if (filter == "$iothub/twin/PATCH/properties/desired/#") return kDesired;
  if (filter == "$iothub/methods/POST/#") return kMethods;
  if (!is_module_ && filter == devicebound_ + "#") return kDevicebound;
  if (is_module_ && (filter == base_ + "/inputs/#" || filter == base_ + "/#")) return kInputs;
  *foreign = filter.starts_with("devices/") && !filter.starts_with(base_ + "/");
  return kNoFilter;
}

}  // namespace holdfast::hubsim
