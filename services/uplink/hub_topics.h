// What the hub sends to a client besides acknowledgements, by topic (IoT Hub contract: cloud-to-device, twin, direct
// methods). Pure functions.
//
//   devices/{device}/messages/devicebound/{bag}
//   $iothub/twin/res/{status}/?$rid={rid}[&$version={n}]
//   $iothub/twin/PATCH/properties/desired/?$version={n}
//   $iothub/methods/POST/{name}/?$rid={rid}          (services/uplink/hub_methods.h)
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace holdfast::uplink {

inline constexpr std::string_view kTwinResponseFilter = "$iothub/twin/res/#";
inline constexpr std::string_view kDesiredFilter = "$iothub/twin/PATCH/properties/desired/#";

enum class HubTopicKind : uint8_t { kCloudToDevice, kMethod, kTwinResponse, kDesired, kOther };

// `device`: whose connection it is.
HubTopicKind ClassifyHubTopic(std::string_view topic, std::string_view device);

std::string CloudToDeviceFilter(std::string_view device);
// The property bag at the end of a topic of kCloudToDevice, without a '/' at its end.
std::string_view CloudToDeviceBag(std::string_view topic, std::string_view device);

struct TwinResponse {
  int status = 0;
  std::string_view rid;
};
// Of a topic of kTwinResponse. INVALID_ARGUMENT if it has no status of three digits, or no rid.
absl::StatusOr<TwinResponse> ParseTwinResponse(std::string_view topic);

std::string TwinGetTopic(std::string_view rid);
std::string ReportedPatchTopic(std::string_view rid);

// When the hub says that the message has expired (`$.exp`); nullopt if it does not say, or not in ISO 8601.
std::optional<absl::Time> ExpiryOf(std::string_view bag);

}  // namespace holdfast::uplink
