// Topics of direct methods (IoT Hub contract: direct methods over MQTT). Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::router {

// The status that a client's answer counts as if it is no number (as edgeHub has it).
inline constexpr int32_t kMalformedStatus = 400'000;

// "$iothub/methods/POST/{name}/?$rid={rid}"; the name is percent-encoded.
std::string MethodRequestTopic(std::string_view name, std::string_view rid);

struct MethodResponseTopic {
  int32_t status = 0;
  // As it came, in lower case: some clients change the case of what they echo.
  std::string rid;
};

// Of "$iothub/methods/res/{status}/?$rid={rid}"; nullopt if it has no $rid, so that nobody can wait for it.
std::optional<MethodResponseTopic> ParseMethodResponse(std::string_view topic);

}  // namespace holdfast::router
