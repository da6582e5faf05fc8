// Who the gateway is at the hub, and how it logs in: for itself, and on behalf of its children (IoT Hub contract:
// CONNECT; on-behalf-of). Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "lib/mqtt/packet.h"

namespace holdfast::uplink {

inline constexpr std::string_view kEdgeHub = "$edgeHub";

struct GatewayIdentity {
  // As in user names and tokens; the connection may go to another name, a parent gateway's.
  std::string hub_hostname;
  std::string device_id;

  // "edge1/$edgeHub": client id of its own connection, and the lane of its own messages.
  std::string name() const { return device_id + "/" + std::string(kEdgeHub); }
  bool operator==(const GatewayIdentity&) const = default;
};

struct Login {
  std::string client_id;
  std::string user_name;
};

// What the hub is told of the software behind a connection.
struct ClientKind {
  // The gateway's.
  std::string_view version;
  // As the client itself said; empty: it did not, or is not there.
  std::string client_type;
  std::string model_id;
};

Login GatewayLogin(const GatewayIdentity& gateway, std::string_view version);

// `identity`: "device" or "device/module". `parents`: the gateways between the device and this one, nearest to the
// device first, ';' between them; empty for a child of this gateway.
Login ChildLogin(const GatewayIdentity& gateway, std::string_view identity, std::string_view parents,
                 const ClientKind& kind);

// "device/module;device;parents;edge1", not encoded.
std::string AuthChain(const GatewayIdentity& gateway, std::string_view identity, std::string_view parents);

// The hub knows who asked, and says no.
inline bool IsNotAuthorized(mqtt::ConnackCode code) {
  return code == mqtt::ConnackCode::kNotAuthorized || code == mqtt::ConnackCode::kBadUserOrPassword;
}

}  // namespace holdfast::uplink
