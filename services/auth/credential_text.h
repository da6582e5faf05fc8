// Keys and thumbprints as people and hubs write them. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace holdfast::auth {

// The key that `base64` stands for; false unless it has kKeyBytesMin to kKeyBytesMax bytes.
bool DecodeKey(std::string_view base64, std::string* key);

// The thumbprint as it is kept, lower-case hexadecimal; ':' and ' ' between digits are left out, as tools print them.
// False unless it has the length of a SHA-1 or a SHA-256.
bool DecodeThumbprint(std::string_view text, std::string* thumbprint);

}  // namespace holdfast::auth
