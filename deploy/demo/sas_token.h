#pragma once

#include <string>
#include <string_view>

namespace holdfast::demo {

// A SAS token as device SDKs make it: HMAC-SHA256 under the base64 `key` over "<resource>\n<expiry>". Empty if the key
// is no base64.
std::string MakeSasToken(std::string_view hub_hostname, std::string_view device_id, std::string_view key,
                         int64_t expires_unix_seconds);

}  // namespace holdfast::demo
