// What a client gets of a message in its queue: the PUBLISH (IoT Hub MQTT contract: module inputs, cloud-to-device).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/iothub/user_name.h"
#include "lib/mqtt/packet.h"
#include "lib/record/envelope_view.h"

namespace holdfast::router {

using iothub::Identity;

// How often a message was delivered on its way (Envelope.hops): an application property that a client passes on, or
// not.
inline constexpr std::string_view kHopsProperty = "hf-hops";

// If a bag (well formed) has that property: how often, as far as it is a number, and the bag without it.
bool TakeHops(std::string_view bag, uint32_t* hops, std::string* rest);

// devices/{d}/modules/{m}/inputs/{input}/{bag} for a module, devices/{d}/messages/devicebound/{bag} for a device. The
// bag is the sender's with $.cdid and $.cmid (who it was; not if the hub sent it), $.to (a device's), hf-hops,
// iothub-MessageType=Will of a will and mqtt-retain, each in place of what the sender wrote under that name.
// Thread-safe, but for `topic`.
class DeliveryTopic {
 public:
  explicit DeliveryTopic(const Identity& receiver);

  // False if there is no valid topic for it: longer than MQTT allows, or not UTF-8. Clears *topic first.
  bool Build(const EnvelopeView& message, std::string* topic) const;

 private:
  // "devices/d/modules/m/inputs/", "devices/d/messages/devicebound/".
  std::string prefix_;
  bool is_module_ = false;
  // Percent-encoded; empty for a module.
  std::string to_;
};

}  // namespace holdfast::router
