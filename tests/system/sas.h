#pragma once

#include <string>
#include <string_view>

namespace holdfast::systest {

// A SAS token as device SDKs make it: resource `hub/devices/device[/modules/module]` with %2F, signed with HMAC-SHA256
// under the base64 `key`; `seconds` from now until it expires (negative: it has expired).
std::string SasToken(std::string_view hub_hostname, std::string_view device, std::string_view key, int seconds = 3600,
                     std::string_view module = "");

// 32 random bytes, base64: a device key.
std::string NewKey();

}  // namespace holdfast::systest
