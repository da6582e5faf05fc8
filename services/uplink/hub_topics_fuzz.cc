// What the hub sends to clients: whatever its topic is, reading it ends, and gives parts of it only.
#include <cstdlib>

#include "services/uplink/hub_topics.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast::uplink;
  const std::string_view topic(reinterpret_cast<const char*>(data), size);
  const auto inside = [topic](std::string_view part) {
    return part.empty() || (part.data() >= topic.data() && part.data() + part.size() <= topic.data() + topic.size());
  };
  const HubTopicKind kind = ClassifyHubTopic(topic, "dev1");
  const std::string_view bag = CloudToDeviceBag(topic, "dev1");
  if (!inside(bag) || (!bag.empty() && kind != HubTopicKind::kCloudToDevice)) std::abort();
  (void)ExpiryOf(bag);
  (void)ExpiryOf(topic);
  const auto answer = ParseTwinResponse(topic);
  if (answer.ok() && (answer->rid.empty() || !inside(answer->rid) || kind != HubTopicKind::kTwinResponse)) std::abort();
  return 0;
}
