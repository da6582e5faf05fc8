#include "services/router/client_topics.h"

#include <fmt/format.h>

#include "lib/iothub/request_id.h"
#include "lib/mqtt/property_bag.h"

namespace holdfast::router {
namespace {

constexpr std::string_view kDesiredFilter = "$iothub/twin/PATCH/properties/desired/#";
constexpr std::string_view kMethodFilter = "$iothub/methods/POST/#";
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

PublishTopic Twin(std::string_view query, bool rid_required) {
  const std::string_view rid = iothub::FindRid(query);
  if (rid.empty() && rid_required) return Forbidden("twin request without $rid");
  return {.kind = PublishKind::kTwinRequest, .rid = rid};
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
  if (topic.starts_with(kTwinGet)) return Twin(topic.substr(kTwinGet.size()), /*rid_required=*/true);
  if (topic.starts_with(kTwinPatch)) return Twin(topic.substr(kTwinPatch.size()), /*rid_required=*/false);
  if (topic.starts_with(kMethodResponse)) return {.kind = PublishKind::kMethodResponse};
  if (topic.starts_with("devices/")) return Forbidden("topic of another identity, or not an events topic");
  return Forbidden("not a topic of this contract");
}

bool ClientTopics::MaySubscribe(std::string_view filter) const {
  if (filter.empty()) return false;
  return filter == devicebound_ || filter == inputs_ || filter == module_all_ || filter == kTwinResponseFilter ||
         filter == kDesiredFilter || filter == kMethodFilter;
}

}  // namespace holdfast::router
