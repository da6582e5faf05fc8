// Settings of the gateway in the form of IoT Edge's `$edgeHub` module (IoT Edge contract D1): routes,
// store-and-forward. They come from the desired properties of the gateway's own twin, or from a deployment manifest
// file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/routes/route_table.h"

namespace holdfast::routes {

// Bytes in a manifest or in desired properties at most.
inline constexpr size_t kSettingsBytesMax = 1024 * 1024;
inline constexpr int64_t kTtlSecondsDefault = 7200;
inline constexpr int64_t kTtlSecondsMax = 2'147'483'647;
// Of one route (D1: 2^32 - 1).
inline constexpr uint32_t kRouteTtlSecondsMax = 4'294'967'295;

struct EdgeHubSettings {
  // "1.0" to "1.3"
  std::string schema_version;
  // In the order in which they stand.
  std::vector<RouteDefinition> routes;
  // How long a message waits for its receiver; nullopt = for ever (any negative number). 0 = not at all.
  std::optional<int64_t> ttl_seconds = kTtlSecondsDefault;
  // storeLimits.maxSizeBytes; nullopt = not given (or negative). Bounds each queue on disk here, where IoT Edge honours
  // it in memory only.
  std::optional<int64_t> max_size_bytes;
  // `$version` of the desired properties; nullopt in a manifest.
  std::optional<int64_t> version;

  bool operator==(const EdgeHubSettings&) const = default;
};

// One thing that is wrong, and where: a path such as `routes.upstream.priority`.
struct SettingsError {
  std::string path;
  std::string message;

  // "path: message"
  std::string Text() const;
};

// From the text of desired properties, `{"schemaVersion": …, "routes": …}`. Deleted routes (null) are left out; keys
// that begin with '$', mqttBroker, integrity and unknown keys are passed over. The text of routes is not looked at:
// RouteTable::Compile does. INVALID_ARGUMENT lists everything that is wrong, one a line; *errors, if not null, gets it
// in parts.
absl::StatusOr<EdgeHubSettings> ParseDesiredProperties(std::string_view json,
                                                       std::vector<SettingsError>* errors = nullptr);

// From a deployment manifest in any of its forms, or from bare desired properties:
//   {"modulesContent": {"$edgeHub": {"properties.desired": {…}}}}      as az iot edge set-modules takes it
//   {"content": {"modulesContent": …}}                                   as the portal and the REST API have it
//   {"$edgeHub": {"properties.desired": {…}}}                            the inner part
//   {"properties.desired": {…}}  or  {"properties": {"desired": {…}}}    the module's twin
// `properties.desired.routes.NAME` and the like beside `properties.desired` (layered deployments) are merged into it.
absl::StatusOr<EdgeHubSettings> ParseManifest(std::string_view json, std::vector<SettingsError>* errors = nullptr);

}  // namespace holdfast::routes
