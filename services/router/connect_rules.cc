#include "services/router/connect_rules.h"

#include <fmt/format.h>

#include "lib/base/log.h"
#include "lib/iothub/auth_chain.h"
#include "services/router/client_topics.h"

namespace holdfast::router {
namespace {

using auth::v1::AuthenticateResponse;

ConnectCheck Refuse(ConnectResult result, std::string reason) {
  return {.result = result, .reason = std::move(reason)};
}

}  // namespace

std::string_view Word(ConnectResult result) {
  switch (result) {
    case ConnectResult::kAccepted:
      return "accepted";
    case ConnectResult::kMalformed:
      return "malformed";
    case ConnectResult::kProtocolLevel:
      return "protocol_level";
    case ConnectResult::kEmptyClientId:
      return "empty_client_id";
    case ConnectResult::kNoUserName:
      return "no_user_name";
    case ConnectResult::kBadUserName:
      return "bad_user_name";
    case ConnectResult::kClientIdMismatch:
      return "client_id_mismatch";
    case ConnectResult::kAuthChain:
      return "auth_chain";
    case ConnectResult::kBadWill:
      return "bad_will";
    case ConnectResult::kCertificateChain:
      return "certificate_chain";
    case ConnectResult::kDenied:
      return "denied";
    case ConnectResult::kNotReady:
      return "not_ready";
    case ConnectResult::kAuthUnavailable:
      return "auth_unavailable";
    case ConnectResult::kStaleGrant:
      return "stale_grant";
  }
  return "unknown";
}

bool IsClientsFault(ConnectResult result) {
  return result != ConnectResult::kAccepted && result != ConnectResult::kNotReady &&
         result != ConnectResult::kAuthUnavailable && result != ConnectResult::kStaleGrant;
}

mqtt::ConnackCode CodeFor(ConnectResult result) {
  switch (result) {
    case ConnectResult::kAccepted:
      return mqtt::ConnackCode::kAccepted;
    case ConnectResult::kProtocolLevel:
      return mqtt::ConnackCode::kUnacceptableProtocol;
    case ConnectResult::kEmptyClientId:
      return mqtt::ConnackCode::kIdentifierRejected;
    // P5: nobody was judged, so the client shall come again.
    case ConnectResult::kNotReady:
    case ConnectResult::kAuthUnavailable:
    case ConnectResult::kStaleGrant:
      return mqtt::ConnackCode::kServerUnavailable;
    case ConnectResult::kMalformed:
    case ConnectResult::kNoUserName:
    case ConnectResult::kBadUserName:
    case ConnectResult::kClientIdMismatch:
    case ConnectResult::kAuthChain:
    case ConnectResult::kBadWill:
    case ConnectResult::kCertificateChain:
    case ConnectResult::kDenied:
      return mqtt::ConnackCode::kNotAuthorized;
  }
  return mqtt::ConnackCode::kServerUnavailable;
}

ConnectCheck CheckConnect(const mqtt::Connect& connect) {
  if (connect.client_id.empty()) return Refuse(ConnectResult::kEmptyClientId, "client id is empty");
  if (!connect.has_user_name) return Refuse(ConnectResult::kNoUserName, "no user name");
  absl::StatusOr<UserName> user = iothub::ParseUserName(connect.user_name);
  if (!user.ok()) {
    return Refuse(ConnectResult::kBadUserName,
                  fmt::format("{} user_name={}", std::string(user.status().message()), Printable(connect.user_name)));
  }
  if (connect.client_id != user->identity.ClientId()) {
    return Refuse(ConnectResult::kClientIdMismatch,
                  fmt::format("client id is not the identity of the user name, {}", user->identity.ClientId()));
  }
  ConnectCheck accepted;
  if (!user->auth_chain.empty()) {
    const auto chain = iothub::ParseAuthChain(user->auth_chain);
    if (!chain.ok()) return Refuse(ConnectResult::kAuthChain, std::string(chain.status().message()));
    if (chain->client != user->identity) {
      return Refuse(ConnectResult::kAuthChain, fmt::format("auth-chain is that of {}", chain->client.ClientId()));
    }
    accepted.actor = chain->actor();
    accepted.links = chain->Links();
  }
  if (connect.has_will) {
    const PublishTopic topic = ClientTopics(user->identity).Classify(connect.will.topic);
    if (topic.kind != PublishKind::kTelemetry) {
      return Refuse(ConnectResult::kBadWill,
                    fmt::format("will topic {} is not an events topic of the client", Printable(connect.will.topic)));
    }
  }
  accepted.user = *std::move(user);
  return accepted;
}

ConnectCheck CheckConnectError(mqtt::Error error) {
  if (error == mqtt::Error::kProtocolLevel) {
    return Refuse(ConnectResult::kProtocolLevel, "protocol level is not 4 (MQTT 3.1.1)");
  }
  return Refuse(ConnectResult::kMalformed, std::string(mqtt::Text(error)));
}

ConnectCheck CheckCertificateChain(const std::vector<std::string>& chain) {
  size_t bytes = 0;
  for (const std::string& der : chain) bytes += der.size();
  if (chain.size() <= kChainCertificatesMax && bytes <= kChainBytesMax) return {};
  return Refuse(ConnectResult::kCertificateChain,
                fmt::format("client certificate with its chain is {} certificates and {} bytes; at most {} and {}",
                            chain.size(), bytes, kChainCertificatesMax, kChainBytesMax));
}

ConnectCheck CheckAnswer(const absl::StatusOr<AuthenticateResponse>& answer) {
  if (!answer.ok()) return Refuse(ConnectResult::kAuthUnavailable, Text(answer.status()));
  switch (answer->decision()) {
    case AuthenticateResponse::DECISION_GRANTED:
      return {};
    case AuthenticateResponse::DECISION_DENIED:
      return Refuse(ConnectResult::kDenied,
                    fmt::format("{} ({})", answer->detail(), AuthenticateResponse::Reason_Name(answer->reason())));
    default:
      return Refuse(ConnectResult::kNotReady, answer->detail());
  }
}

}  // namespace holdfast::router
