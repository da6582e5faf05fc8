// What a child gateway is told of those below it: pages of the hub's device scope API, made from the identities in
// force (IoT Hub contract: device scope, nested). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/auth/identity.h"

namespace holdfast::auth {

inline constexpr uint32_t kScopePageDevicesMax = 1000;
inline constexpr uint32_t kScopePageDevicesDefault = 10;
// Of the page's text, about: below what gRPC carries and what ParseScopePage takes, sealed and all.
inline constexpr size_t kScopePageTextBytes = 3 << 20;

struct ScopeSelection {
  std::vector<const Identity*> identities;
  std::string continuation;  // empty: that was the last page
};

// The devices that `gateway` answers for, itself and its children, with the modules of all of them, in order of device
// id: at most `devices_max` devices behind those of the page that ended with `continuation` (empty: from the first). An
// edit between two pages neither repeats nor skips who is there all the time. INVALID_ARGUMENT for a continuation that
// is none; RESOURCE_EXHAUSTED for a device that with its modules is more than a page.
absl::StatusOr<ScopeSelection> SelectChildren(const IdentityMap& identities, const Identity& gateway,
                                              uint32_t devices_max, std::string_view continuation);

// How a continuation is written, and read back: INVALID_ARGUMENT if it is none.
std::string WriteContinuation(std::string_view last_device);
absl::StatusOr<std::string> ReadContinuation(std::string_view continuation);

}  // namespace holdfast::auth
