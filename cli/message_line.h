// One line of `holdfast routes eval`: JSON that holds a message and what to evaluate on it.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/routes/message.h"
#include "lib/routes/route_table.h"

namespace holdfast::cli {

// A message that owns its parts.
class JsonMessage : public routes::Message {
 public:
  // `message` is {"body": text, "properties": {…}, "systemProperties": {…}}; each may be left out, values are text or
  // null. The body of a message whose contentEncoding is utf-16 or utf-32 is put into that encoding. INVALID_ARGUMENT
  // names the member that is wrong.
  static absl::StatusOr<JsonMessage> Make(const nlohmann::json& message, std::string source);

  std::string_view source() const override { return source_; }
  routes::Property ApplicationProperty(std::string_view key) const override { return Find(properties_, key); }
  routes::Property SystemProperty(std::string_view name) const override { return Find(system_properties_, name); }
  std::string_view body() const override { return body_; }

 private:
  struct IgnoringCase {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const;
  };
  // nullopt = null
  using Properties = std::map<std::string, std::optional<std::string>, IgnoringCase>;

  static routes::Property Find(const Properties& properties, std::string_view key);
  static absl::Status Read(const nlohmann::json& message, std::string_view key, Properties* properties);

  std::string source_;
  Properties properties_;
  Properties system_properties_;
  std::string body_;
};

struct MessageLine {
  JsonMessage message;
  std::string condition;                        // of a line for conditions
  std::vector<routes::RouteDefinition> routes;  // of a line for --route
};

// `with_routes`: the line has "route": text, or "routes": {name: text or {"route", "priority", "timeToLiveSecs"}};
// otherwise "condition": text. INVALID_ARGUMENT says what is wrong.
absl::StatusOr<MessageLine> ReadMessageLine(std::string_view line, bool with_routes);

}  // namespace holdfast::cli
