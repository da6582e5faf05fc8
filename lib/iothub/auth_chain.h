// Who speaks for whom: the auth-chain of a user name or of a scope request, decoded (IoT Hub contract: on-behalf-of
// CONNECT, device scope):
//
//   auth-chain = client *( ";" gateway )
//   client     = device | device "/" module [ ";" device ]       a module's device may follow it: both forms are in use
//   gateway    = device                                          the parent of what stands before it
//
// The last device is the gateway that speaks; it shows the credential of its module $edgeHub. A gateway that speaks for
// itself is client and last at once: "edge", "edge/module;edge". Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/iothub/user_name.h"

namespace holdfast::iothub {

// The one module of a gateway that may speak for others.
inline constexpr std::string_view kEdgeHub = "$edgeHub";
// A client below five layers of gateways.
inline constexpr size_t kAuthChainDevicesMax = 6;

struct AuthChain {
  Identity client;
  // The client's device, then what it is a child of, and so on; the last one speaks. At least one.
  std::vector<std::string> devices;

  const std::string& actor() const { return devices.back(); }
  // Whose credential is shown.
  Identity ActorIdentity() const { return {actor(), std::string(kEdgeHub)}; }
  // The gateways between devices[index] and whom the last one speaks to, nearest first, ';' between them.
  std::string GatewaysAbove(size_t index) const;
  // Whose removal or change makes void what was granted by this chain, besides the client's own: the gateways, and the
  // module that speaks.
  std::vector<Identity> Links() const;
};

// INVALID_ARGUMENT with a sentence for the log: a part that is no id, a device that is named twice, more than
// kAuthChainDevicesMax devices, a module that nobody speaks for.
absl::StatusOr<AuthChain> ParseAuthChain(std::string_view text);

}  // namespace holdfast::iothub
