#pragma once

#include <string_view>

namespace holdfast::iothub {

// The value of $rid in a topic's query "?$rid=1&x=2", as it came; empty if there is none (IoT Hub MQTT contract: twins,
// direct methods).
std::string_view FindRid(std::string_view query);

}  // namespace holdfast::iothub
