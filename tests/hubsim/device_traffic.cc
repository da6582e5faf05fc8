// What goes between the hub and its clients besides telemetry: twins, direct methods, cloud-to-device messages.
#include <fmt/format.h>

#include "lib/base/log.h"
#include "lib/mqtt/property_bag.h"
#include "tests/hubsim/device_connection.h"
#include "tests/hubsim/device_endpoint.h"
#include "tests/hubsim/http_status.h"

namespace holdfast::hubsim {
namespace {

using nlohmann::json;

std::string FullId(const DeviceConnection& connection) {
  const Sender& sender = connection.sender();
  return sender.module_id.empty() ? sender.device_id : fmt::format("{}/{}", sender.device_id, sender.module_id);
}

}  // namespace

void DeviceEndpoint::OnConnected(DeviceConnection* connection) {
  Client& client = clients_[FullId(*connection)];
  if (client.filters & kMethods) methods_.OnReady(FullId(*connection));
  DeliverInbox(&client);
}

void DeviceEndpoint::OnSubscribed(DeviceConnection* connection, uint8_t filters, uint8_t qos1_filters) {
  Client& client = clients_[FullId(*connection)];
  client.filters |= filters;
  client.qos1_filters = static_cast<uint8_t>((client.qos1_filters & ~filters) | qos1_filters);
  if (filters & kMethods) methods_.OnReady(FullId(*connection));
  DeliverInbox(&client);
}

void DeviceEndpoint::OnUnsubscribed(DeviceConnection* connection, uint8_t filters) {
  clients_[FullId(*connection)].filters &= static_cast<uint8_t>(~filters);
}

uint16_t DeviceEndpoint::NextPacketId(Client* client) {
  do {
    if (++client->last_packet_id == 0) ++client->last_packet_id;
  } while (client->inbox.IsOnItsWay(client->last_packet_id));
  return client->last_packet_id;
}

bool DeviceEndpoint::SendTo(Client* client, Filter filter, std::string_view topic, std::string_view payload) {
  if (client->connection == nullptr || !(client->filters & filter)) return false;
  const uint8_t qos = client->qos1_filters & filter ? 1 : 0;
  client->connection->Send(topic, payload, qos, qos == 0 ? uint16_t{0} : NextPacketId(client), false);
  client->connection->Flush();
  return true;
}

void DeviceEndpoint::OnRequest(DeviceConnection* connection, const Topic& topic, std::string_view payload) {
  if (topic.kind == TopicKind::kMethodResponse) {
    methods_.OnResponse(FullId(*connection), topic.rid, topic.status, payload);
  } else {
    OnTwinRequest(connection, topic, payload);
  }
}

void DeviceEndpoint::OnTwinRequest(DeviceConnection* connection, const Topic& topic, std::string_view payload) {
  const bool is_get = topic.kind == TopicKind::kTwinGet;
  const std::string id = FullId(*connection);
  Client& client = clients_[id];
  const auto answer = [&](int status, std::string_view more, std::string_view body) {
    if (topic.rid.empty()) return;
    SendTo(&client, kTwinResponses, fmt::format("$iothub/twin/res/{}/?$rid={}{}", status, topic.rid, more), body);
  };
  ++(is_get ? state_.counters.twin_gets : state_.counters.reported_patches);
  const Sender& sender = connection->sender();
  Fault* fault = state_.faults.Find(FaultKind::kTwinStatus, sender.device_id, sender.module_id);
  if (fault != nullptr && (fault->operation.empty() || fault->operation == (is_get ? "get" : "patch")) &&
      ++fault->seen > fault->after) {
    ++fault->struck;
    return answer(fault->code, "", "");
  }
  if (is_get) return answer(200, "", state_.twins.DeviceDocument(id));
  const json patch = json::parse(payload, nullptr, false);
  const auto version = state_.twins.PatchReported(id, patch, state_.clock.WallNow());
  if (!version.ok()) {
    spdlog::info("reported properties refused client={} reason=\"{}\"", id, std::string(version.status().message()));
    return answer(HttpStatus(version.status()), "", "");
  }
  twin_changed_();
  answer(204, fmt::format("&$version={}", *version), "");
}

void DeviceEndpoint::PushDesired(std::string_view id, const json& patch) {
  const auto at = clients_.find(id);
  if (at == clients_.end()) return;
  const std::string body = patch.dump(-1, ' ', false, json::error_handler_t::replace);
  const int64_t version = patch.at("$version").get<int64_t>();
  if (SendTo(&at->second, kDesired, fmt::format("$iothub/twin/PATCH/properties/desired/?$version={}", version), body)) {
    ++state_.counters.desired_pushes;
  }
}

bool DeviceEndpoint::SendMethod(const MethodCall& call, const std::string& rid) {
  const auto at = clients_.find(call.client);
  if (at == clients_.end()) return false;
  std::string name;
  mqtt::AppendPercentEncoded(call.name, &name);
  const bool sent =
      SendTo(&at->second, kMethods, fmt::format("$iothub/methods/POST/{}/?$rid={}", name, rid), call.payload);
  if (sent) ++state_.counters.methods;
  return sent;
}

absl::Status DeviceEndpoint::Post(const std::string& device_id, CloudMessage message) {
  Client& client = clients_[device_id];
  if (absl::Status status = client.inbox.Add(std::move(message), state_.clock.WallNow()); !status.ok()) return status;
  ++state_.counters.c2d_sent;
  DeliverInbox(&client);
  return absl::OkStatus();
}

const Inbox* DeviceEndpoint::FindInbox(std::string_view device_id) const {
  const auto at = clients_.find(device_id);
  return at == clients_.end() ? nullptr : &at->second.inbox;
}

void DeviceEndpoint::DeliverInbox(Client* client) {
  if (client->connection == nullptr || !(client->filters & kDevicebound) || client->inbox.size() == 0) return;
  const uint8_t qos = client->qos1_filters & kDevicebound ? 1 : 0;
  client->inbox.Deliver(state_.clock.WallNow(), [&](const CloudMessage& message) {
    const uint16_t packet_id = qos == 0 ? uint16_t{0} : NextPacketId(client);
    client->connection->Send(client->connection->topics().devicebound() + message.bag, message.payload, qos, packet_id,
                             false);
    if (qos == 0) ++state_.counters.c2d_completed;
    return packet_id;
  });
  client->connection->Flush();
}

void DeviceEndpoint::OnPuback(DeviceConnection* connection, uint16_t packet_id) {
  if (clients_[FullId(*connection)].inbox.Complete(packet_id)) ++state_.counters.c2d_completed;
}

}  // namespace holdfast::hubsim
