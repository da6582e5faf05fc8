#include "tests/system/key_search.h"

#include <fmt/format.h>

#include <cctype>

#include "absl/strings/escaping.h"

namespace holdfast::systest {
namespace {

std::string PercentEncode(std::string_view text, std::string_view format) {
  std::string out;
  for (const char c : text) {
    out += std::isalnum(static_cast<unsigned char>(c)) != 0
               ? std::string(1, c)
               : fmt::format(fmt::runtime(format), static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

std::vector<std::string> FormsOf(const std::string& key) {
  std::string raw;
  if (!absl::Base64Unescape(key, &raw)) return {};
  const std::string hex = absl::BytesToHexString(raw);
  std::string upper_hex = hex;
  for (char& c : upper_hex) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  const std::string unpadded = key.substr(0, key.find('='));
  const std::string web_safe = absl::WebSafeBase64Escape(raw);
  return {raw, unpadded, PercentEncode(unpadded, "%{:02X}"), PercentEncode(unpadded, "%{:02x}"), web_safe,
          hex, upper_hex};
}

int Found(const std::string& key, std::string_view bytes) {
  int found = 0;
  for (const std::string& form : FormsOf(key)) found += bytes.find(form) != std::string_view::npos ? 1 : 0;
  return found;
}

}  // namespace holdfast::systest
