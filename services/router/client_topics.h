// What a client may publish to and subscribe to (IoT Hub MQTT contract: telemetry, twin, methods, inputs,
// cloud-to-device). Pure functions of an identity and a topic.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/iothub/user_name.h"

namespace holdfast::router {

using iothub::Identity;

enum class PublishKind : uint8_t {
  // The identity's own devices/{d}[/modules/{m}]/messages/events[/{bag}].
  kTelemetry,
  // $iothub/twin/GET/?$rid=…
  kTwinGet,
  // $iothub/twin/PATCH/properties/reported/?$rid=…
  kReportedPatch,
  // $iothub/methods/res/{status}/?$rid=…
  kMethodResponse,
  // Any other: the connection is to be closed.
  kForbidden,
};

struct PublishTopic {
  PublishKind kind = PublishKind::kForbidden;
  // Of telemetry: the property bag, checked for form, without the '/' that may end it.
  std::string_view bag;
  // Of a twin request: what stands behind "$rid=". Empty if there is none.
  std::string_view rid;
  // If forbidden: why, for the log.
  std::string_view reason;
};

// What a client's subscriptions make it wait for.
struct Interests {
  // A device: cloud-to-device messages. A module: its inputs. And the QoS at which it gets them, 0 or 1.
  bool messages = false;
  uint8_t messages_qos = 0;
  bool twin_responses = false;
  bool desired_properties = false;
  bool methods = false;
  // Of a module: what happens on this gateway (LifecycleEvents).
  bool link_events = false;
  bool client_events = false;

  bool operator==(const Interests&) const = default;
};

// Filters with their granted QoS.
using Subscriptions = std::vector<std::pair<std::string, uint8_t>>;

// The topics of one identity, put together once per session. Immutable, thread-safe.
class ClientTopics {
 public:
  explicit ClientTopics(const Identity& identity);

  // Views are into `topic`. No allocation.
  PublishTopic Classify(std::string_view topic) const;

  // True for the filters that the contract documents for this identity.
  bool MaySubscribe(std::string_view filter) const;

  Interests InterestsOf(const Subscriptions& subscriptions) const;

 private:
  const std::string events_;  // "devices/{d}/messages/events"
  const std::string devicebound_;
  const std::string inputs_;
  const std::string module_all_;
};

inline constexpr std::string_view kLinkTopic = "$holdfast/link";
// And the client id: `device` or `device/module`.
inline constexpr std::string_view kClientEventsTopic = "$holdfast/clients/";

}  // namespace holdfast::router
