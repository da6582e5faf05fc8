// Bodies of method invocation over HTTPS (IoT Hub REST: "Invoke device method").
#pragma once

#include <cstddef>
#include <string_view>

#include "absl/status/statusor.h"
#include "holdfast/router/v1/router.pb.h"
#include "services/router/http_message.h"
#include "services/router/method_call.h"

namespace holdfast::router {

// Nesting of a body, and of an answer that is passed on as JSON; a deeper answer is passed on as text.
inline constexpr size_t kMethodJsonDepthMax = 100;

// `{"methodName": …, "payload": …, "responseTimeoutInSeconds": 30, "connectTimeoutInSeconds": 0}`; the last three may
// be missing. INVALID_ARGUMENT with a sentence. Neither client id nor caller are set.
absl::StatusOr<MethodCall> ParseMethodCall(std::string_view body);

// `{"status": …, "payload": …}`, or the contract's status for an error.
HttpResponse MethodResponse(const absl::StatusOr<v1::InvokeMethodResponse>& result);

}  // namespace holdfast::router
