// The limits of twins as the hub has them (IoT Hub contract: twins). Only the .cc files of lib/twin include this.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/status.h"

namespace holdfast::twin {

// Of a patch: names, values, depth. INVALID_ARGUMENT with the path: "a.b[2]: a text of 5000 bytes, at most 4096 are
// allowed".
absl::Status CheckPatch(const nlohmann::json& patch);

// Of a document that a patch has become part of. `what` is its name: "reported".
absl::Status CheckSize(std::string_view what, const nlohmann::json& document);

}  // namespace holdfast::twin
