// What is asked of a client by a direct method (IoT Hub contract: direct methods).
#pragma once

#include <cstddef>
#include <string>

#include "absl/time/time.h"

namespace holdfast::router {

// Limits of a call (IoT Hub contract: direct methods).
inline constexpr size_t kMethodNameBytesMax = 100;
inline constexpr size_t kMethodPayloadBytesMax = 128 * 1024;
inline constexpr absl::Duration kResponseTimeoutMin = absl::Seconds(5);
inline constexpr absl::Duration kResponseTimeoutMax = absl::Seconds(300);
inline constexpr absl::Duration kResponseTimeoutDefault = absl::Seconds(30);
inline constexpr absl::Duration kConnectTimeoutMax = absl::Seconds(300);
// Calls under way, waiting ones included; above: RESOURCE_EXHAUSTED.
inline constexpr size_t kMethodCallsMax = 4096;
inline constexpr size_t kMethodCallsPerClientMax = 64;

struct MethodCall {
  // `device` or `device/module`.
  std::string client_id;
  std::string name;
  // JSON.
  std::string payload;
  absl::Duration response_timeout = kResponseTimeoutDefault;
  absl::Duration connect_timeout = absl::ZeroDuration();
  // Client id of who calls, for the log; "" = the hub or an operator.
  std::string caller;
  // Not to be passed on to another router.
  bool local_only = false;
};

}  // namespace holdfast::router
