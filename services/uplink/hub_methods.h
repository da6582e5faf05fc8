// Direct methods that the hub calls on the gateway itself (IoT Hub contract: direct methods). Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace holdfast::uplink {

inline constexpr std::string_view kMethodsFilter = "$iothub/methods/POST/#";
inline constexpr std::string_view kRefreshMethod = "RefreshDeviceScopeIdentityCache";

struct MethodCall {
  std::string name;
  std::string rid;
};

// Of a topic `$iothub/methods/POST/{name}/?$rid={rid}`. INVALID_ARGUMENT for another one.
absl::StatusOr<MethodCall> ParseMethodTopic(std::string_view topic);

std::string MethodResponseTopic(std::string_view rid, int status);

// `deviceIds` of kRefreshMethod's payload; empty: everybody. INVALID_ARGUMENT if it is no such list of at most 1,000.
absl::StatusOr<std::vector<std::string>> ParseRefreshPayload(std::string_view payload);

}  // namespace holdfast::uplink
