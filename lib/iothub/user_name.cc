#include "lib/iothub/user_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "lib/mqtt/property_bag.h"

namespace holdfast::iothub {
namespace {

constexpr size_t kSegmentsMax = 8;

absl::Status Bad(std::string_view what) {
  return absl::InvalidArgumentError(fmt::format(
      "user name {}; expected <hub host>/<device>[/<module>]/?api-version=<date>[&DeviceClientType=<text>]", what));
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos || parts.size() > kSegmentsMax) return parts;
    text.remove_prefix(end + 1);
  }
}

bool IsHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool WellEscaped(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') continue;
    if (i + 2 >= text.size() || !IsHex(text[i + 1]) || !IsHex(text[i + 2])) return false;
    i += 2;
  }
  return true;
}

// Takes one key=value of the query. False if its value is badly escaped.
bool TakePair(std::string_view pair, UserName* out, bool* has_api_version) {
  const size_t equals = pair.find('=');
  const std::string_view key = pair.substr(0, equals);
  const std::string_view value = equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
  std::string* target = nullptr;
  if (key == "api-version") {
    if (*has_api_version) return true;
    *has_api_version = true;
    target = &out->api_version;
  } else if (key == "DeviceClientType") {
    target = &out->client_type;
  } else if (key == "model-id") {
    target = &out->model_id;
  } else if (key == "auth-chain") {
    target = &out->auth_chain;
  } else {
    return true;
  }
  if (!target->empty()) return true;
  if (!WellEscaped(value)) return false;
  std::string scratch;
  *target = mqtt::PercentDecode(value, &scratch);
  return true;
}

bool TakeQuery(std::string_view query, UserName* out, bool* has_api_version) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    if (!TakePair(query.substr(0, end), out, has_api_version)) return false;
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return true;
}

bool StartsQuery(std::string_view segment) {
  return segment.starts_with('?') || segment.starts_with("api-version=");
}

}  // namespace

bool IsId(std::string_view id) {
  if (id.empty() || id.size() > kIdBytesMax) return false;
  return std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-.%_*?!(),:=@$'+#").find(c) != std::string_view::npos;
  });
}

absl::StatusOr<UserName> ParseUserName(std::string_view text) {
  const std::vector<std::string_view> parts = Split(text, '/');
  if (parts.size() > kSegmentsMax) return Bad("has too many parts");
  if (parts.size() < 3) return Bad("has no api-version");

  UserName out;
  out.host = parts[0];
  if (out.host.empty()) return Bad("names no hub host");
  out.identity.device_id = parts[1];
  size_t query = 2;
  if (!StartsQuery(parts[2])) {
    if (parts.size() < 4) return Bad("has no api-version");
    out.identity.module_id = parts[2];
    if (!IsId(parts[2])) return Bad("has a bad module id");
    query = 3;
  }
  if (!IsId(parts[1])) return Bad("has a bad device id");
  if (!StartsQuery(parts[query])) return Bad("has no api-version");

  // A '/' inside of the query: the legacy form has its pairs in segments, and a client type may hold one unescaped
  // ("Microsoft.Azure.Devices.Client/1.5.1"). What follows the api-version is then split at '/', not at '&'.
  bool has_api_version = false;
  std::string_view first = parts[query];
  if (first.starts_with('?')) {
    first.remove_prefix(1);
    std::string_view rest = text.substr(static_cast<size_t>(first.data() - text.data()));
    if (!TakeQuery(rest, &out, &has_api_version)) return Bad("has a bad percent escape");
  } else {
    if (!TakeQuery(first, &out, &has_api_version)) return Bad("has a bad percent escape");
    for (size_t i = query + 1; i < parts.size(); ++i) {
      std::string_view part = parts[i];
      // The version number of the client type is a segment of its own: it belongs to the one before.
      const bool is_pair = part.find('=') != std::string_view::npos;
      if (!is_pair && !out.client_type.empty()) {
        out.client_type += fmt::format("/{}", part);
      } else if (!TakeQuery(part, &out, &has_api_version)) {
        return Bad("has a bad percent escape");
      }
    }
  }
  if (!has_api_version) return Bad("has no api-version");
  return out;
}

}  // namespace holdfast::iothub
