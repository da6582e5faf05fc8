#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/record/envelope_view.h"

namespace holdfast::uplink {

inline constexpr std::string_view kDeviceTopic = "devices/{device_id}/messages/events/{properties}";
inline constexpr std::string_view kModuleTopic = "devices/{device_id}/modules/{module_id}/messages/events/{properties}";

// Properties that uplink adds; the sender's own of these names give way to them.
inline constexpr std::string_view kIdProperty = "hf-id";
inline constexpr std::string_view kMessageTypeProperty = "iothub-MessageType";
inline constexpr std::string_view kRetainProperty = "mqtt-retain";

// The topic under which a message goes to the hub: text with {device_id}, {module_id} and {properties} in it.
// {properties} is the sender's property bag as it was encoded, and behind it what uplink adds: hf-id, for a will
// iothub-MessageType=Will, for a retained message mqtt-retain=true (IoT Hub's MQTT contract). Immutable, thread-safe.
class TopicTemplate {
 public:
  // One text for devices, one for modules. INVALID_ARGUMENT for an unknown {name}, a brace without its other, or text
  // that can't be in a topic name.
  static absl::StatusOr<TopicTemplate> Create(std::string_view device_template, std::string_view module_template);

  // Replaces *topic. `id` is the message's stable id, of unreserved characters only. False if there is no valid topic
  // for this message: longer than 65,535 bytes, or not UTF-8.
  bool Build(const EnvelopeView& message, std::string_view id, std::string* topic) const;

 private:
  struct Part {
    enum Kind { kText, kDeviceId, kModuleId, kProperties } kind;
    std::string text;
  };
  static absl::StatusOr<std::vector<Part>> Parse(std::string_view text);

  std::vector<Part> device_;
  std::vector<Part> module_;
};

}  // namespace holdfast::uplink
