// The device scope API (IoT Hub contract: device scope), both shapes, as functions of the registry. Pages are cut by
// device id, so that an edit between two pages neither repeats nor skips an identity that was there all the time.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tests/hubsim/registry.h"

namespace holdfast::hubsim {

// Devices in a page at most; a larger request gets pages of this size.
inline constexpr size_t kPageDevicesMax = 1000;
inline constexpr size_t kPageDevicesDefault = 10;

// Where a page begins.
struct PageStart {
  uint64_t page = 1;
  std::string after;  // device id; empty: from the first
};

// An opaque token for a URL, and back. INVALID_ARGUMENT if it is none of ours.
std::string ContinuationToken(const PageStart& start);
absl::StatusOr<PageStart> ParseContinuationToken(const std::string& token);

struct ScopePage {
  nlohmann::json devices = nlohmann::json::array();
  nlohmann::json modules = nlohmann::json::array();
  // If there is more.
  std::string token;
};

// A page of what `edge` answers for: itself, the devices whose parent it is, and all their modules (which lie on the
// page of their device and don't count). 1 <= devices_max <= kPageDevicesMax.
ScopePage ReadScope(const Registry& registry, const Device& edge, const PageStart& start, size_t devices_max);

// Whether `device` is `edge` or has it as parent.
bool IsInScope(const Device& device, const Device& edge);

// One identity in the same form: the device, and the module if one was asked for. NOT_FOUND.
absl::StatusOr<ScopePage> ReadIdentity(const Registry& registry, std::string_view device_id,
                                       std::string_view module_id);

}  // namespace holdfast::hubsim
