#include "lib/iothub/sas_token.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "lib/base/status.h"

namespace holdfast::iothub {
namespace {

constexpr std::string_view kScheme = "SharedAccessSignature";
constexpr size_t kDigestBytes = 32;
constexpr double kExpirySecondsMax = 253'402'300'799.0;  // 9999-12-31T23:59:59Z

enum class Plus { kLiteral, kSpace };

std::optional<std::string> UrlDecode(std::string_view text, Plus plus) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      unsigned value = 0;
      if (text.size() - i < 3) return std::nullopt;
      const char* end = text.data() + i + 3;
      if (std::from_chars(text.data() + i + 1, end, value, 16).ptr != end) return std::nullopt;
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += text[i] == '+' && plus == Plus::kSpace ? ' ' : text[i];
    }
  }
  return out;
}

// All but the unreserved characters of RFC 3986.
std::string UrlEncode(std::string_view text) {
  std::string out;
  for (const unsigned char c : text) {
    const bool is_unreserved = absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~';
    is_unreserved ? out.push_back(static_cast<char>(c)) : (void)out.append(fmt::format("%{:02X}", c));
  }
  return out;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

struct Fields {
  std::optional<std::string_view> sr, sig, se, skn;
};

absl::StatusOr<Fields> SplitFields(std::string_view text) {
  Fields fields;
  for (const std::string_view field : Split(text, '&')) {
    const size_t equals = field.find('=');
    if (equals == std::string_view::npos) return absl::InvalidArgumentError("a field of the token has no value");
    const std::string_view name = field.substr(0, equals);
    std::optional<std::string_view>* target = EqualsIgnoreCase(name, "sr")    ? &fields.sr
                                              : EqualsIgnoreCase(name, "sig") ? &fields.sig
                                              : EqualsIgnoreCase(name, "se")  ? &fields.se
                                              : EqualsIgnoreCase(name, "skn") ? &fields.skn
                                                                              : nullptr;
    if (target == nullptr) continue;
    if (target->has_value()) return absl::InvalidArgumentError("a field of the token is there twice");
    *target = field.substr(equals + 1);
  }
  if (!fields.sr || !fields.sig || !fields.se) return absl::InvalidArgumentError("the token lacks sr, sig or se");
  return fields;
}

absl::StatusOr<absl::Time> ParseExpiry(std::string_view raw) {
  const std::optional<std::string> text = UrlDecode(raw, Plus::kSpace);
  double seconds = 0;
  const auto parsed = text ? std::from_chars(text->data(), text->data() + text->size(), seconds)
                           : std::from_chars_result{nullptr, std::errc::invalid_argument};
  if (!text || parsed.ec != std::errc() || parsed.ptr != text->data() + text->size() || !std::isfinite(seconds)) {
    return absl::InvalidArgumentError("the token's se is not a number of seconds");
  }
  return absl::UnixEpoch() + absl::Seconds(std::clamp(seconds, 0.0, kExpirySecondsMax));
}

absl::StatusOr<std::string> ParseSignature(std::string_view raw) {
  const std::optional<std::string> base64 = UrlDecode(raw, Plus::kSpace);
  std::string signature;
  if (!base64 || !absl::Base64Unescape(*base64, &signature) || signature.size() != kDigestBytes) {
    return absl::InvalidArgumentError("the token's sig is not the base64 of 32 bytes");
  }
  return signature;
}

}  // namespace

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return absl::ascii_tolower(x) == absl::ascii_tolower(y); });
}

absl::StatusOr<SasToken> ParseSasToken(std::string_view password) {
  if (password.size() > kTokenBytesMax) {
    return absl::InvalidArgumentError(fmt::format("the token is longer than {} bytes", kTokenBytesMax));
  }
  const bool is_space_after =
      password.size() > kScheme.size() && (password[kScheme.size()] == ' ' || password[kScheme.size()] == '\t');
  if (!password.starts_with(kScheme) || !is_space_after) {
    return absl::InvalidArgumentError("the password does not begin with \"SharedAccessSignature \"");
  }
  const std::string_view body = password.substr(kScheme.size() + 1);
  if (body.find_first_of(" \t\r\n\v\f") != std::string_view::npos) {
    return absl::InvalidArgumentError("the token has white-space in its fields");
  }
  ASSIGN_OR_RETURN(const Fields fields, SplitFields(body));
  SasToken token;
  ASSIGN_OR_RETURN(token.expiry, ParseExpiry(*fields.se));
  ASSIGN_OR_RETURN(token.signature, ParseSignature(*fields.sig));
  std::optional<std::string> resource = UrlDecode(*fields.sr, Plus::kLiteral);
  std::optional<std::string> policy = UrlDecode(fields.skn.value_or(""), Plus::kSpace);
  if (!resource || !policy) return absl::InvalidArgumentError("the token's sr or skn is not url-encoded");
  token.resource = *std::move(resource);
  token.policy = *std::move(policy);
  token.signed_text = fmt::format("{}\n{}", *fields.sr, *fields.se);
  return token;
}

absl::StatusOr<Audience> ParseAudience(std::string_view resource) {
  const std::vector<std::string_view> parts = Split(resource, '/');
  const bool is_device = parts.size() == 3 && parts[1] == "devices";
  const bool is_module = parts.size() == 5 && parts[1] == "devices" && parts[3] == "modules";
  const bool has_empty = std::any_of(parts.begin(), parts.end(), [](std::string_view p) { return p.empty(); });
  if ((!is_device && !is_module) || has_empty) {
    return absl::InvalidArgumentError("sr is not <host>/devices/<device>[/modules/<module>]");
  }
  return Audience{.host = std::string(parts[0]),
                  .device_id = std::string(parts[2]),
                  .module_id = is_module ? std::string(parts[4]) : std::string()};
}

bool NamesId(std::string_view part, std::string_view id) {
  if (EqualsIgnoreCase(part, id)) return true;
  const std::optional<std::string> decoded = UrlDecode(part, Plus::kLiteral);
  return decoded && EqualsIgnoreCase(*decoded, id);
}

std::string MakeSasToken(std::string_view resource, std::string_view key, absl::Time expiry) {
  const std::string encoded = UrlEncode(resource);
  const int64_t seconds = absl::ToUnixSeconds(expiry);
  const std::string signed_text = fmt::format("{}\n{}", encoded, seconds);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(signed_text.data()), signed_text.size(), digest, &size);
  const std::string signature = absl::Base64Escape(absl::string_view(reinterpret_cast<const char*>(digest), size));
  return fmt::format("SharedAccessSignature sr={}&sig={}&se={}", encoded, UrlEncode(signature), seconds);
}

bool IsSignedWith(const SasToken& token, std::string_view key) {
  if (key.empty() || token.signature.size() != kDigestBytes) return false;
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  const auto* text = reinterpret_cast<const unsigned char*>(token.signed_text.data());
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), text, token.signed_text.size(), digest, &size) ==
      nullptr) {
    return false;
  }
  return size == kDigestBytes && CRYPTO_memcmp(digest, token.signature.data(), kDigestBytes) == 0;
}

}  // namespace holdfast::iothub
