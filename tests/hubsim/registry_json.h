// Identities as JSON: as the service API shows them, as the device scope API does, and as a registry file holds them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "tests/hubsim/registry.h"

namespace holdfast::hubsim {

// Bytes in a registry file at most.
inline constexpr size_t kRegistryFileBytesMax = 64 << 20;

// What the hub knows beside the registry of whether an identity is there.
struct Presence {
  bool connected = false;
  size_t cloud_to_device_messages = 0;
};

// The shapes of the service API (GET /devices/{id}, GET /devices/{id}/modules/{id}).
nlohmann::json DeviceJson(const Device& device, const Registry& registry, const Presence& presence);
nlohmann::json ModuleJson(const Module& module, const Presence& presence);
// The shapes of the device scope API.
nlohmann::json ScopeDeviceJson(const Device& device, const Registry& registry);
nlohmann::json ScopeModuleJson(const Module& module);

// The body of a PUT. `is_module` allows what only a module has. INVALID_ARGUMENT with what is wrong.
absl::StatusOr<IdentityEdit> EditFromJson(const nlohmann::json& body, const Device* existing);

// {"devices":[{…service shape, or "parent":"<id>" instead of scopes…, "modules":[…]}]}. Devices in any order.
absl::Status LoadRegistry(const nlohmann::json& file, absl::Time now, Registry* registry);
nlohmann::json SaveRegistry(const Registry& registry);

}  // namespace holdfast::hubsim
