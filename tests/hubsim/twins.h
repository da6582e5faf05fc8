#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/string_map.h"

namespace holdfast::hubsim {

// Limits of a twin (IoT Hub contract: twin).
inline constexpr size_t kTwinSectionBytesMax = 32 << 10;  // desired, and reported; tags 8 KiB
inline constexpr size_t kTagsBytesMax = 8 << 10;
inline constexpr size_t kTwinDepthMax = 10;
inline constexpr size_t kTwinKeyBytesMax = 1024;
inline constexpr size_t kTwinTextBytesMax = 4096;

struct Twin {
  nlohmann::json desired = nlohmann::json::object();
  nlohmann::json reported = nlohmann::json::object();
  nlohmann::json tags = nlohmann::json::object();
  int64_t desired_version = 1;
  int64_t reported_version = 1;
  int64_t version = 1;  // of the whole; its ETag
  absl::Time desired_at = absl::UnixEpoch();
  absl::Time reported_at = absl::UnixEpoch();

  std::string Etag() const;
};

// The twins of the devices and modules, by "device" or "device/module". Who exists is the registry's business. Not
// thread-safe.
class Twins {
 public:
  // The twin, empty if nothing was ever written to it.
  const Twin& Get(std::string_view id) const;
  // Those whose identity is no more.
  void RemoveIf(const std::function<bool(std::string_view id)>& is_gone);

  // What a device gets: {"desired":{…,"$version":n},"reported":{…,"$version":n}}.
  std::string DeviceDocument(std::string_view id) const;

  // Merges a device's patch (null deletes). Returns the new version. INVALID_ARGUMENT: the twin would break a limit;
  // nothing has changed then.
  absl::StatusOr<int64_t> PatchReported(std::string_view id, const nlohmann::json& patch, absl::Time now);

  // A service's edit: {"tags":{…},"properties":{"desired":{…}}}. `replace`: what is given takes the place of the whole
  // section instead of being merged. Returns what the device is to be told: the desired part as given with its
  // "$version"; null if there was none. INVALID_ARGUMENT as above.
  absl::StatusOr<nlohmann::json> Edit(std::string_view id, const nlohmann::json& edit, bool replace, absl::Time now);

  // {"<id>":{"desired":…,…}} and back.
  nlohmann::json Save() const;
  absl::Status Load(const nlohmann::json& saved);

 private:
  StringMap<Twin> twins_;
};

// "properties" of the service API's twin, with $metadata and $version.
nlohmann::json TwinPropertiesJson(const Twin& twin);

}  // namespace holdfast::hubsim
