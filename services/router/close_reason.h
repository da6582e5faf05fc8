#pragma once

#include <cstdint>
#include <string_view>

namespace holdfast::router {

// Why a session's connection ended.
enum class CloseReason : uint8_t {
  kDisconnect,      // the client said goodbye
  kConnectionLost,  // it went without
  kKeepAlive,       // silent for 1.5 times its keep-alive
  kTakenOver,       // the same client connected again
  kTokenExpired,    // auth's answer no longer holds
  kIdentity,        // removed, disabled or changed (P11)
  kProtocolError,   // MQTT was violated
  kForbiddenTopic,  // a topic of another identity, or with a malformed property bag
  kQos2,
  kTooLarge,
  kSlowReader,    // does not take what is sent to it
  kStoreRefused,  // the store will never take a message of it
  kOperator,
  kShutdown,
};

constexpr std::string_view Word(CloseReason reason) {
  switch (reason) {
    case CloseReason::kDisconnect:
      return "disconnect";
    case CloseReason::kConnectionLost:
      return "connection_lost";
    case CloseReason::kKeepAlive:
      return "keep_alive";
    case CloseReason::kTakenOver:
      return "taken_over";
    case CloseReason::kTokenExpired:
      return "token_expired";
    case CloseReason::kIdentity:
      return "identity";
    case CloseReason::kProtocolError:
      return "protocol_error";
    case CloseReason::kForbiddenTopic:
      return "forbidden_topic";
    case CloseReason::kQos2:
      return "qos2";
    case CloseReason::kTooLarge:
      return "too_large";
    case CloseReason::kSlowReader:
      return "slow_reader";
    case CloseReason::kStoreRefused:
      return "store_refused";
    case CloseReason::kOperator:
      return "operator";
    case CloseReason::kShutdown:
      return "shutdown";
  }
  return "unknown";
}

// Whether the client's will is published (MQTT 3.1.1, 3.1.2.5). Not when it said goodbye, when its identity has no
// right to publish any more, and when the gateway stops, since then nothing is wrong with the client.
constexpr bool PublishesWill(CloseReason reason) {
  return reason != CloseReason::kDisconnect && reason != CloseReason::kIdentity && reason != CloseReason::kShutdown;
}

}  // namespace holdfast::router
