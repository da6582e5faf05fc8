// What a CONNECT gets: the one place where CONNACK codes are chosen (MQTT 3.1.1, 3.1.4 and 3.2.2.3; IoT Hub MQTT
// contract, "CONNECT"). Pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "holdfast/auth/v1/auth.pb.h"
#include "lib/iothub/user_name.h"
#include "lib/mqtt/packet.h"

namespace holdfast::router {

using iothub::Identity;
using iothub::UserName;

// Everything that can come of a CONNECT.
enum class ConnectResult : uint8_t {
  kAccepted,
  kMalformed,  // closed without a word
  kProtocolLevel,
  kEmptyClientId,
  kNoUserName,
  kBadUserName,
  kClientIdMismatch,  // client id is not device[/module] of the user name
  kAuthChain,         // auth-chain is malformed, or another client's
  kBadWill,
  kCertificateChain,  // longer than the limits
  kDenied,            // auth said no
  kNotReady,          // auth can't judge yet (P5)
  kAuthUnavailable,   // auth didn't answer (P5)
  kStaleGrant,        // what auth judged by has changed since, each time that it was asked (P11)
};

// "denied": a word for metrics and logs.
std::string_view Word(ConnectResult result);

// Whether the client has done something wrong, and not the gateway.
bool IsClientsFault(ConnectResult result);

// The code to answer with. kAccepted and every refusal has one, except kMalformed: its value is not to be sent.
mqtt::ConnackCode CodeFor(ConnectResult result);

// A CONNECT that may go to auth, or not.
struct ConnectCheck {
  ConnectResult result = ConnectResult::kAccepted;
  // If not accepted: for the log.
  std::string reason;
  UserName user;
  // If a child gateway connects on the client's behalf: that gateway, and whose change ends the grant
  // (AuthChain::Links).
  std::string actor;
  std::vector<Identity> links;
};

// Judges a CONNECT by itself.
ConnectCheck CheckConnect(const mqtt::Connect& connect);
// The check for a packet that did not decode.
ConnectCheck CheckConnectError(mqtt::Error error);

// A client certificate with its chain, as it is passed on to auth.
inline constexpr size_t kChainCertificatesMax = 10;
inline constexpr size_t kChainBytesMax = 64 * 1024;

// Judges the size of what a client without a password showed; DER.
ConnectCheck CheckCertificateChain(const std::vector<std::string>& chain);

// Judges auth's answer.
ConnectCheck CheckAnswer(const absl::StatusOr<auth::v1::AuthenticateResponse>& answer);

}  // namespace holdfast::router
