// One route, `[SELECT *] FROM source [WHERE condition] INTO sink` (IoT Edge contract C1, C2), compiled.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/routes/condition.h"

namespace holdfast::routes {

// Where a route ends.
struct Endpoint {
  enum class Kind : uint8_t {
    // `$upstream`: the hub.
    kUpstream,
    // `BrokeredEndpoint("/modules/{module_id}/inputs/{input}")`: a module of the gateway's own device.
    kModuleInput,
    // `BrokeredEndpoint("/devices/{device_id}/inbox")`, beyond IoT Edge: a child, as a cloud-to-device message.
    kDeviceInbox,
  };
  Kind kind = Kind::kUpstream;
  std::string module_id;
  std::string input;
  std::string device_id;

  // As one writes it in a route.
  std::string Text() const;
  bool operator==(const Endpoint&) const = default;
};

// Which messages a route's FROM names. Letter case is ignored, whole segments are compared, and a message whose source
// has more segments matches too; `*` and `/` at the end say nothing more (C2).
class SourcePattern {
 public:
  explicit SourcePattern(std::string_view text);

  bool Matches(std::string_view source) const;
  const std::string& text() const { return text_; }
  // Why no message of a gateway ever has such a source; empty if one may. It is accepted, as by IoT Edge, and never
  // matches.
  std::string Warning() const;

 private:
  std::string text_;
  std::vector<std::string> segments_;
};

// Immutable, thread-safe.
struct Route {
  SourcePattern source;
  // As written; empty without WHERE.
  std::string condition_text;
  // nullopt: no WHERE, true for every message.
  std::optional<Condition> condition;
  Endpoint endpoint;
  // What compiles but is hardly meant.
  std::vector<std::string> warnings;

  // INVALID_ARGUMENT with CompileError::Text(); *error, if not null, gets it in parts. Columns count in `text`.
  static absl::StatusOr<Route> Compile(std::string_view text, const Options& options = {},
                                       CompileError* error = nullptr);
};

}  // namespace holdfast::routes
