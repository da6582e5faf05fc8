// The topics that a hub serves to a device or module (IoT Hub MQTT contract). Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace holdfast::hubsim {

enum class TopicKind : uint8_t {
  kTelemetry,       // devices/{d}[/modules/{m}]/messages/events[/{bag}]
  kTwinGet,         // $iothub/twin/GET/?$rid={rid}
  kTwinPatch,       // $iothub/twin/PATCH/properties/reported/?$rid={rid}
  kMethodResponse,  // $iothub/methods/res/{status}/?$rid={rid}
  kForbidden,
};

struct Topic {
  TopicKind kind = TopicKind::kForbidden;
  size_t bag_at = 0;        // of telemetry: where in the topic the bag begins
  std::string_view rid;     // of the others; empty if there is none
  int status = 0;           // of a method response
  std::string_view reason;  // if forbidden
};

// What a client can subscribe to; bits.
enum Filter : uint8_t {
  kNoFilter = 0,
  kTwinResponses = 1,  // $iothub/twin/res/#
  kDesired = 2,        // $iothub/twin/PATCH/properties/desired/#
  kMethods = 4,        // $iothub/methods/POST/#
  kDevicebound = 8,    // devices/{d}/messages/devicebound/#
  kInputs = 16,        // devices/{d}/modules/{m}/inputs/# or /#; a hub never sends there
};

// The topics of one identity. Immutable.
class DeviceTopics {
 public:
  DeviceTopics(std::string_view device_id, std::string_view module_id);

  // Views are into `topic`.
  Topic Classify(std::string_view topic) const;
  // kNoFilter: not one of this contract. *foreign: it is another identity's.
  Filter ClassifyFilter(std::string_view filter, bool* foreign) const;

  // "devices/{d}/messages/devicebound/"
  const std::string& devicebound() const { return devicebound_; }

 private:
  const std::string base_;
  const std::string events_;
  const std::string devicebound_;
  const bool is_module_;
};

}  // namespace holdfast::hubsim
