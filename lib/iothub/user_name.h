// Who a client says it is: the user name of its CONNECT (IoT Hub MQTT contract, "CONNECT"):
//
//   user-name = host "/" device [ "/" module ] "/" [ "?" ] query
//   query     = key "=" value *( "&" key "=" value )        values percent-encoded; the first of equal keys counts
//   legacy    = host "/" device "/" [ module "/" ] "api-version=…" "/" "DeviceClientType=…" [ "/" more ]
//
// api-version must be there; its value is not looked at. Ids and host are not percent-encoded.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace holdfast::iothub {

// A device, or a module of a device.
struct Identity {
  std::string device_id;
  // Empty for a device.
  std::string module_id;

  // `device` or `device/module`.
  std::string ClientId() const { return module_id.empty() ? device_id : device_id + "/" + module_id; }
  bool operator==(const Identity&) const = default;
};

// Bytes in a device or module id at most.
inline constexpr size_t kIdBytesMax = 128;

struct UserName {
  std::string host;
  Identity identity;
  std::string api_version;
  // Decoded; empty if absent.
  std::string client_type;
  std::string model_id;
  // Who speaks for whom, for a gateway's children; not served yet, so a CONNECT that has it is refused.
  std::string auth_chain;
};

// 1-128 of A-Z a-z 0-9 - . % _ * ? ! ( ) , : = @ $ ' + #. (Those that a topic can't carry literally, '+' and '#', are
// allowed by the contract, but can't be published from.)
bool IsId(std::string_view id);

// INVALID_ARGUMENT with a sentence for the log.
absl::StatusOr<UserName> ParseUserName(std::string_view text);

}  // namespace holdfast::iothub
