#include "services/router/client_topics.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/iothub/request_id.h"
#include "lib/mqtt/property_bag.h"

namespace holdfast::router {
namespace {

constexpr std::string_view kTwinResponseFilter = "$iothub/twin/res/#";
constexpr std::string_view kDesiredFilter = "$iothub/twin/PATCH/properties/desired/#";
constexpr std::string_view kMethodFilter = "$iothub/methods/POST/#";
constexpr std::string_view kClientEventsFilter = "$holdfast/clients/#";
constexpr std::string_view kTwinGet = "$iothub/twin/GET/";
constexpr std::string_view kTwinPatch = "$iothub/twin/PATCH/properties/reported/";
constexpr std::string_view kMethodResponse = "$iothub/methods/res/";

std::string Base(const Identity& identity) {
  return identity.module_id.empty() ? fmt::format("devices/{}", identity.device_id)
                                    : fmt::format("devices/{}/modules/{}", identity.device_id, identity.module_id);
}

PublishTopic Forbidden(std::string_view reason) {
  return {.kind = PublishKind::kForbidden, .reason = reason};
}

PublishTopic TwinGet(std::string_view query) {
  const std::string_view rid = iothub::FindRid(query);
  if (rid.empty()) return Forbidden("twin request without $rid");
  return {.kind = PublishKind::kTwinGet, .rid = rid};
}

}  // namespace

ClientTopics::ClientTopics(const Identity& identity)
    : events_(Base(identity) + "/messages/events"),
      devicebound_(identity.module_id.empty() ? Base(identity) + "/messages/devicebound/#" : ""),
      inputs_(identity.module_id.empty() ? "" : Base(identity) + "/inputs/#"),
      module_all_(identity.module_id.empty() ? "" : Base(identity) + "/#") {}

PublishTopic ClientTopics::Classify(std::string_view topic) const {
  if (topic.starts_with(events_)) {
    std::string_view bag = topic.substr(events_.size());
    if (!bag.empty()) {
      if (bag.front() != '/') return Forbidden("not a topic of this contract");
      bag.remove_prefix(1);
      if (const mqtt::BagError error = mqtt::CheckBag(bag); error != mqtt::BagError::kOk) {
        return Forbidden(mqtt::Text(error));
      }
      bag = mqtt::TrimBag(bag);
    }
    return {.kind = PublishKind::kTelemetry, .bag = bag};
  }
  if (topic.starts_with(kTwinGet)) return TwinGet(topic.substr(kTwinGet.size()));
  if (topic.starts_with(kTwinPatch)) {
    return {.kind = PublishKind::kReportedPatch, .rid = iothub::FindRid(topic.substr(kTwinPatch.size()))};
  }
  if (topic.starts_with(kMethodResponse)) return {.kind = PublishKind::kMethodResponse};
  if (topic.starts_with("devices/")) return Forbidden("topic of another identity, or not an events topic");
  return Forbidden("not a topic of this contract");
}

bool ClientTopics::MaySubscribe(std::string_view filter) const {
  if (filter.empty()) return false;
  return filter == devicebound_ || filter == inputs_ || filter == module_all_ || filter == kTwinResponseFilter ||
         filter == kDesiredFilter || filter == kMethodFilter ||
         (!inputs_.empty() && (filter == kLinkTopic || filter == kClientEventsFilter));
}

Interests ClientTopics::InterestsOf(const Subscriptions& subscriptions) const {
  Interests interests;
  for (const auto& [filter, qos] : subscriptions) {
    if (filter == devicebound_ || filter == inputs_ || filter == module_all_) {
      interests.messages = true;
      interests.messages_qos = std::max(interests.messages_qos, qos);
    }
    interests.twin_responses |= filter == kTwinResponseFilter;
    interests.desired_properties |= filter == kDesiredFilter;
    interests.methods |= filter == kMethodFilter;
    interests.link_events |= filter == kLinkTopic;
    interests.client_events |= filter == kClientEventsFilter;
  }
  return interests;
}

}  // namespace holdfast::router
