// What uplink looks at in an answer of the hub's device scope API; the rest is for auth's eyes. Keys are not copied out
// of the text. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace holdfast::uplink {

struct ScopeDevice {
  std::string id;
  bool is_gateway = false;  // capabilities.iotEdge
  bool enabled = true;      // status
};

struct ScopePage {
  std::vector<ScopeDevice> devices;
  size_t modules = 0;
  // nullopt: this is the last page.
  std::optional<std::string> continuation;
};

// INVALID_ARGUMENT unless it is a JSON object with `devices` and `modules` (arrays of objects, or null) and
// `continuationLink` (text or null). The text is never in the message.
absl::StatusOr<ScopePage> ReadScopePage(std::string_view json);

}  // namespace holdfast::uplink
