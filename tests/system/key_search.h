// Looks for keys where there must be none.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace holdfast::systest {

// A base64 key in each form in which it could be written down: raw, base64 (plain, percent-encoded, web-safe), hex.
// Empty if it is no base64.
std::vector<std::string> FormsOf(const std::string& key);

// The number of forms in which `key` is in `bytes`.
int Found(const std::string& key, std::string_view bytes);

}  // namespace holdfast::systest
