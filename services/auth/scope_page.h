// One answer of the hub's device scope API (IoT Hub contract: device scope), both shapes:
//
//   {"devices": [{"deviceId", "generationId", "status", "authentication", "capabilities": {"iotEdge"}, "deviceScope",
//                 "parentScopes": […]}, …] | null,
//    "modules": [{"moduleId", "deviceId", "generationId", "authentication"}, …] | null,
//    "continuationLink": string | null}
//   authentication: {"type": "sas" | "selfSigned" | "certificateAuthority" | "none",
//                    "symmetricKey": {"primaryKey", "secondaryKey"},
//                    "x509Thumbprint": {"primaryThumbprint", "secondaryThumbprint"}}
//
// Fields that are not named here are ignored. The continuation link is for who fetches the pages.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/auth/identity.h"

namespace holdfast::auth {

inline constexpr size_t kScopePageBytesMax = 4 << 20;

// The identities of a page. INVALID_ARGUMENT for anything that is not the contract, with the identity's name and never
// a key: no JSON, `devices` or `modules` missing, a bad id, key, thumbprint, status or type of a field, an identity
// that is there twice. A kind of authentication that is not known here is Credential::kNone. Pure.
absl::StatusOr<IdentityMap> ParseScopePage(std::string_view text);

// The page of these, devices and modules, as a child gateway's ParseScopePage reads it; `continuation` empty: null.
// Keys are in it: wipe it. Pure.
std::string WriteScopePage(const std::vector<const Identity*>& identities, std::string_view continuation);

}  // namespace holdfast::auth
