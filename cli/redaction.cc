#include "cli/redaction.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>

namespace holdfast::cli {
namespace {

constexpr std::string_view kSecretNames[] = {
    "key", "keys",      "password",          "passwd",           "pwd",       "passphrase", "secret", "token",
    "sig", "signature", "connection_string", "connectionstring", "credential"};
constexpr std::string_view kPemBegin = "-----BEGIN ";
constexpr std::string_view kPemPrivate = "PRIVATE KEY-----";
constexpr std::string_view kPemEnd = "-----END ";
constexpr size_t kBase64BytesMin = 24;  // Of 16 bytes, padding and all.

bool IsNameByte(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
}

bool IsBase64Byte(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '+' || c == '/';
}

// The backslash stands before the quotes of a string within a JSON string.
bool IsBlank(char c) {
  return c == ' ' || c == '\t' || c == '\\';
}

bool IsQuoteOrBlank(char c) {
  return c == '"' || c == '\'' || IsBlank(c);
}

bool EndsValue(char c) {
  return IsQuoteOrBlank(c) || c == ';' || c == '&' || c == ',' || c == '}' || c == ']' || c == '\n' || c == '\r';
}

size_t SkipWhile(std::string_view text, size_t at, bool (*is)(char)) {
  while (at < text.size() && is(text[at])) ++at;
  return at;
}

struct Value {
  size_t begin;
  size_t end;
};

// What a name that ends at `at` gives: behind its '=' or ':', within quotes or brackets, or up to what ends a value.
// nullopt: nothing.
std::optional<Value> ValueBehind(std::string_view text, size_t at) {
  at = SkipWhile(text, at, IsQuoteOrBlank);
  if (at >= text.size() || (text[at] != '=' && text[at] != ':')) return std::nullopt;
  size_t begin = SkipWhile(text, at + 1, IsBlank);
  if (begin >= text.size()) return std::nullopt;
  const char first = text[begin];
  const char closing = first == '[' ? ']' : first == '{' ? '}' : first == '"' || first == '\'' ? first : '\0';
  if (closing == first) ++begin;
  size_t end = begin;
  while (end < text.size() && (closing != '\0' ? text[end] != closing : !EndsValue(text[end]))) ++end;
  // The backslash belongs to the quote of a string within a string.
  if (closing == first && end > begin && text[end - 1] == '\\') --end;
  if (end == begin) return std::nullopt;
  return Value{begin, end};
}

std::string WithoutNamedValues(std::string_view text) {
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = SkipWhile(text, at, IsNameByte);
    if (end == at) {
      out += text[at++];
      continue;
    }
    const auto value = IsSecretName(text.substr(at, end - at)) ? ValueBehind(text, end) : std::nullopt;
    if (value) out.append(text.substr(at, value->begin - at)).append(kRedacted);
    if (!value) out.append(text.substr(at, end - at));
    at = value ? value->end : end;
  }
  return out;
}

std::string WithoutUrlPasswords(std::string_view text) {
  std::string out;
  while (true) {
    const size_t scheme = text.find("://");
    if (scheme == std::string_view::npos) return out.append(text);
    const size_t begin = scheme + 3;
    const size_t end = std::min(text.find_first_of("/ \"'\\\n\t", begin), text.size());
    const std::string_view authority = text.substr(begin, end - begin);
    const size_t at = authority.rfind('@');
    const size_t colon = authority.find(':');
    if (at != std::string_view::npos && colon < at) {
      out.append(text.substr(0, begin + colon + 1)).append(kRedacted).append(authority.substr(at));
    } else {
      out.append(text.substr(0, end));
    }
    text.remove_prefix(end);
  }
}

std::string WithoutPrivateKeys(std::string_view text) {
  std::string out;
  while (true) {
    const size_t key = text.find(kPemPrivate);
    const size_t begin = key == std::string_view::npos ? key : text.rfind(kPemBegin, key);
    if (begin == std::string_view::npos) return out.append(text);
    const size_t end = text.find(kPemEnd, key);
    out.append(text.substr(0, begin)).append(kRedacted);
    if (end == std::string_view::npos) return out;
    // The end's own line: up to its closing dashes.
    const size_t closing = text.find("-----", end + kPemEnd.size());
    if (closing == std::string_view::npos) return out;
    text.remove_prefix(closing + 5);
  }
}

std::string WithoutBase64(std::string_view text) {
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = SkipWhile(text, at, IsBase64Byte);
    if (end == at) {
      out += text[at++];
      continue;
    }
    const size_t padded = std::min(SkipWhile(text, end, [](char c) { return c == '='; }), end + 2);
    const bool is_key = padded > end && padded - at >= kBase64BytesMin && (padded - at) % 4 == 0;
    out += is_key ? kRedacted : text.substr(at, end - at);
    at = is_key ? padded : end;
  }
  return out;
}

}  // namespace

bool IsSecretName(std::string_view name) {
  return std::any_of(std::begin(kSecretNames), std::end(kSecretNames), [name](std::string_view secret) {
    return name.size() >= secret.size() &&
           std::equal(secret.begin(), secret.end(), name.end() - static_cast<std::ptrdiff_t>(secret.size()),
                      [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); });
  });
}

nlohmann::json RedactedJson(const nlohmann::json& json) {
  if (json.is_string()) return Redacted(json.get_ref<const std::string&>());
  if (!json.is_structured()) return json;
  nlohmann::json out = json;
  for (auto it = out.begin(); it != out.end(); ++it) {
    *it = json.is_object() && IsSecretName(it.key()) ? nlohmann::json(kRedacted) : RedactedJson(*it);
  }
  return out;
}

std::string Redacted(std::string_view text) {
  return WithoutBase64(WithoutNamedValues(WithoutUrlPasswords(WithoutPrivateKeys(text))));
}

}  // namespace holdfast::cli
