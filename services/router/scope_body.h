// Bodies of the device scope API (IoT Hub contract: what a gateway serves to child gateways).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "holdfast/auth/v1/auth.pb.h"

namespace holdfast::router {

// A longer body is answered with 413: the longest chain and a continuation fit many times over.
inline constexpr size_t kScopeBodyBytesMax = 16 * 1024;
// Nesting of a body.
inline constexpr size_t kScopeJsonDepthMax = 100;
// Devices of a page; who asks for more gets as many.
inline constexpr uint32_t kScopePageSizeMax = 1000;

// A page of those below a gateway, or one identity.
enum class ScopeQuestion : uint8_t { kList, kOne };

// What a request asks auth. INVALID_ARGUMENT: malformed. UNAUTHENTICATED: `module` is one that may not ask. Pure.
absl::StatusOr<auth::v1::GetScopePageRequest> ReadScopeRequest(ScopeQuestion question, std::string_view gateway,
                                                               std::string_view module, std::string_view body);

}  // namespace holdfast::router
