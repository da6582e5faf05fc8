#include "cli/message_line.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/status.h"
#include "lib/routes/text.h"

namespace holdfast::cli {
namespace {

using nlohmann::json;

char LowerAscii(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

absl::StatusOr<std::string> TextOf(const json& object, const std::string& key, const std::string& otherwise) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return otherwise;
  if (!found->is_string()) return absl::InvalidArgumentError(fmt::format("{} must be text", key));
  return found->get<std::string>();
}

// UTF-8 as units of `bytes` bytes (2 or 4), little-endian.
std::string Encoded(const std::string& text, int bytes) {
  std::string out;
  const auto put = [&out, bytes](uint32_t unit) {
    for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(unit >> (8 * i)));
  };
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const int length = lead < 0x80 ? 1 : (lead < 0xE0 ? 2 : (lead < 0xF0 ? 3 : 4));
    uint32_t c = length == 1 ? lead : lead & (0x7F >> length);
    for (int k = 1; k < length; ++k) c = c << 6 | (static_cast<unsigned char>(text[i + static_cast<size_t>(k)]) & 0x3F);
    i += static_cast<size_t>(length);
    if (bytes == 2 && c >= 0x10000) {
      put(0xD800 + ((c - 0x10000) >> 10));
      put(0xDC00 + ((c - 0x10000) & 0x3FF));
    } else {
      put(c);
    }
  }
  return out;
}

absl::StatusOr<uint32_t> NumberOf(const json& object, const std::string& key, uint32_t otherwise) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return otherwise;
  if (!found->is_number_integer() || *found < 0 || *found > UINT32_MAX) {
    return absl::InvalidArgumentError(fmt::format("{} must be a whole number", key));
  }
  return found->get<uint32_t>();
}

absl::StatusOr<routes::RouteDefinition> RouteOf(const std::string& name, const json& value) {
  routes::RouteDefinition route{.name = name};
  if (value.is_string()) {
    route.text = value.get<std::string>();
    return route;
  }
  if (!value.is_object()) {
    return absl::InvalidArgumentError(fmt::format("route {} must be text or an object", name));
  }
  ASSIGN_OR_RETURN(route.text, TextOf(value, "route", ""));
  ASSIGN_OR_RETURN(route.priority, NumberOf(value, "priority", routes::kDefaultPriority));
  ASSIGN_OR_RETURN(route.ttl_seconds, NumberOf(value, "timeToLiveSecs", 0));
  return route;
}

absl::StatusOr<std::vector<routes::RouteDefinition>> RoutesOf(const json& line) {
  std::vector<routes::RouteDefinition> routes;
  if (const auto one = line.find("route"); one != line.end()) {
    ASSIGN_OR_RETURN(routes::RouteDefinition route, RouteOf("route", *one));
    routes.push_back(std::move(route));
    return routes;
  }
  const auto all = line.find("routes");
  if (all == line.end() || !all->is_object()) {
    return absl::InvalidArgumentError(R"(expected "route": "FROM ..." or "routes": {"name": "FROM ..."})");
  }
  for (const auto& [name, value] : all->items()) {
    ASSIGN_OR_RETURN(routes::RouteDefinition route, RouteOf(name, value));
    routes.push_back(std::move(route));
  }
  return routes;
}

}  // namespace

bool JsonMessage::IgnoringCase::operator()(std::string_view a, std::string_view b) const {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                      [](char x, char y) { return LowerAscii(x) < LowerAscii(y); });
}

routes::Property JsonMessage::Find(const Properties& properties, std::string_view key) {
  const auto found = properties.find(key);
  if (found == properties.end()) return routes::Property::Absent();
  return found->second ? routes::Property::Text(*found->second) : routes::Property::Null();
}

absl::Status JsonMessage::Read(const json& message, std::string_view key, Properties* properties) {
  const auto found = message.find(std::string(key));
  if (found == message.end() || found->is_null()) return absl::OkStatus();
  if (!found->is_object()) return absl::InvalidArgumentError(fmt::format("{} must be an object", key));
  for (const auto& [name, value] : found->items()) {
    if (!value.is_string() && !value.is_null()) {
      return absl::InvalidArgumentError(fmt::format("{}.{} must be text or null", key, name));
    }
    (*properties)[name] = value.is_null() ? std::nullopt : std::optional(value.get<std::string>());
  }
  return absl::OkStatus();
}

absl::StatusOr<JsonMessage> JsonMessage::Make(const json& message, std::string source) {
  if (!message.is_object()) return absl::InvalidArgumentError("message must be an object");
  JsonMessage made;
  made.source_ = std::move(source);
  RETURN_IF_ERROR(Read(message, "properties", &made.properties_));
  RETURN_IF_ERROR(Read(message, "systemProperties", &made.system_properties_));
  ASSIGN_OR_RETURN(made.body_, TextOf(message, "body", ""));
  const std::string_view encoding = made.SystemProperty("contentEncoding").text();
  if (routes::EqualsIgnoringCase(encoding, "utf-16")) made.body_ = Encoded(made.body_, 2);
  if (routes::EqualsIgnoringCase(encoding, "utf-32")) made.body_ = Encoded(made.body_, 4);
  return made;
}

absl::StatusOr<MessageLine> ReadMessageLine(std::string_view line, bool with_routes) {
  const json parsed = json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) return absl::InvalidArgumentError("the line is not JSON");
  if (!parsed.is_object()) return absl::InvalidArgumentError("the line must be a JSON object");
  ASSIGN_OR_RETURN(std::string source, TextOf(parsed, "source", std::string(routes::kLeafSource)));
  const auto message = parsed.find("message");
  const bool none = message == parsed.end() || message->is_null();
  ASSIGN_OR_RETURN(JsonMessage made, JsonMessage::Make(none ? json::object() : *message, std::move(source)));
  MessageLine result{.message = std::move(made)};
  if (with_routes) {
    ASSIGN_OR_RETURN(result.routes, RoutesOf(parsed));
    return result;
  }
  const auto condition = parsed.find("condition");
  if (condition == parsed.end() || !condition->is_string()) {
    return absl::InvalidArgumentError(condition == parsed.end() ? "condition is missing" : "condition must be text");
  }
  result.condition = condition->get<std::string>();
  return result;
}

}  // namespace holdfast::cli
