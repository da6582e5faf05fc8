// Where in the store's key-value space it stands who is there (holdfast.presence.v1).
#pragma once

#include <string_view>

namespace holdfast::presence {

// All of them.
inline constexpr std::string_view kKeys = "presence/";
// ClientPresence: "presence/clients/" and the client id.
inline constexpr std::string_view kClientKeys = "presence/clients/";
// LinkPresence.
inline constexpr std::string_view kLinkKey = "presence/link";

}  // namespace holdfast::presence
