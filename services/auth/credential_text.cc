#include "services/auth/credential_text.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "services/auth/identity.h"

namespace holdfast::auth {

bool DecodeKey(std::string_view base64, std::string* key) {
  return absl::Base64Unescape(absl::string_view(base64.data(), base64.size()), key) && key->size() >= kKeyBytesMin &&
         key->size() <= kKeyBytesMax;
}

bool DecodeThumbprint(std::string_view text, std::string* thumbprint) {
  constexpr size_t kSha1Digits = 40, kSha256Digits = 64;
  thumbprint->clear();
  for (const char c : text) {
    if (c == ':' || c == ' ') continue;
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return false;
    thumbprint->push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
  }
  return thumbprint->size() == kSha1Digits || thumbprint->size() == kSha256Digits;
}

}  // namespace holdfast::auth
