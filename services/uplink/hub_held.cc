// What HubUpstream does besides bringing messages to the hub: connections that are held for clients, what comes on
// them, and on the gateway's own.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lib/base/log.h"
#include "lib/mqtt/packet.h"
#include "lib/mqtt/packet_id.h"
#include "services/uplink/hub_methods.h"
#include "services/uplink/hub_topics.h"
#include "services/uplink/hub_upstream.h"

namespace holdfast::uplink {
namespace {

// Far from the identifiers that the window may have in flight; so many SUBSCRIBEs may wait for their answer.
constexpr uint64_t kSubscribeDistance = 40'000;
constexpr uint32_t kSubscribesMax = 1000;

}  // namespace

uint16_t HubUpstream::SubscribeId(std::optional<LaneId> lane, uint32_t* subscribes) const {
  const uint64_t number = lane ? host_->window().lane_sent(*lane) : 0;
  return mqtt::PacketIdOf(number + kSubscribeDistance + (*subscribes)++ % kSubscribesMax);
}

void HubUpstream::OpenOwnExchange() {
  mqtt::AppendSubscribe(SubscribeId(own_lane_, &own_subscribes_), {{kMethodsFilter, 1}}, client_->out());
  exchange_.Open(gateway_.name(), client_, false, [this] { return SubscribeId(own_lane_, &own_subscribes_); });
  client_->Flush();
}

void HubUpstream::OnWanted(const std::string& client, bool wanted, bool at_once) {
  Window& window = host_->window();
  const auto known = window.FindLane(client);
  if (!known && !wanted) return;
  const LaneId lane = known ? *known : window.OpenLane(client);
  child(lane).wanted = wanted;
  SyncWanted(lane, at_once);
  ForgetIfIdle(lane);
  SetTimer();
}

// Nobody is logged in whom the hub calls gone.
void HubUpstream::SyncWanted(LaneId lane, bool at_once) {
  const Child& c = child(lane);
  plan_.SetHeld(lane, c.wanted && c.gone_until <= Now() && !is_own(lane), at_once, Now());
}

void HubUpstream::WatchExchange(LaneId lane) {
  Child& c = child(lane);
  std::string trouble = exchange_.trouble(host_->window().name(lane));
  if (trouble.empty() != c.exchange_trouble.empty()) c.exchange_trouble_since = clock_.WallNow();
  c.exchange_trouble = std::move(trouble);
}

void HubUpstream::OnExchangeProgress(const std::string& client) {
  const auto lane = host_->window().FindLane(client);
  if (!lane || *lane >= children_.size() || !children_[*lane]) return;
  plan_.OnProgress(*lane);
  if (host_->window().empty(*lane)) children_[*lane]->trouble.clear();
}

void HubUpstream::OnRenewWanted(const std::string& client) {
  const auto lane = host_->window().FindLane(client);
  if (!lane) return;
  spdlog::info("a new connection brings messages that were left at the hub identity={}", client);
  plan_.Renew(*lane, Now());
}

void HubUpstream::OnPublish(LaneId lane, const mqtt::Publish& publish) {
  exchange_.OnPublish(host_->window().name(lane), publish);
}

void HubUpstream::OnSuback(LaneId lane, const mqtt::Suback& suback) {
  exchange_.OnSuback(host_->window().name(lane), suback);
}

void HubUpstream::OnSuback(const mqtt::Suback& suback) {
  exchange_.OnSuback(gateway_.name(), suback);
}

void HubUpstream::OnPublish(const mqtt::Publish& publish) {
  if (ClassifyHubTopic(publish.topic, gateway_.name()) == HubTopicKind::kMethod) return OnMethod(publish);
  exchange_.OnPublish(gateway_.name(), publish);
}

void HubUpstream::OnMethod(const mqtt::Publish& publish) {
  const auto call = ParseMethodTopic(publish.topic);
  if (!call.ok()) return;
  const uint64_t connection = link_number_;
  if (call->name != kRefreshMethod) {
    Answer(call->rid, connection, 404, fmt::format(R"({{"error":"the gateway knows {} only"}})", kRefreshMethod));
    return;
  }
  const auto devices = ParseRefreshPayload(publish.payload);
  if (!devices.ok()) {
    Answer(call->rid, connection, 400, nlohmann::json{{"error", std::string(devices.status().message())}}.dump());
    return;
  }
  spdlog::info("the hub asks for a sync of the scope devices={}",
               devices->empty() ? "all" : std::to_string(devices->size()));
  if (!devices->empty()) {
    std::vector<iothub::Identity> identities;
    for (const std::string& id : *devices) identities.push_back({id, ""});
    sync_.Refresh(identities);
    Answer(call->rid, connection, 200, "{}");
    return;
  }
  sync_.Request([this, rid = call->rid, connection](const absl::StatusOr<ScopeSync::Counts>& counts) {
    nlohmann::json body;
    if (counts.ok()) {
      body = {{"added", counts->added},
              {"changed", counts->changed},
              {"removed", counts->removed},
              {"unchanged", counts->unchanged}};
    } else {
      body = {{"error", std::string(counts.status().message())}};
    }
    Post([=, this, status = counts.ok() ? 200 : 500, text = body.dump()] { Answer(rid, connection, status, text); });
  });
}

// On the connection that the call came on: on another one nobody waits for it.
void HubUpstream::Answer(const std::string& rid, uint64_t connection, int status, const std::string& body) {
  if (!client_ || connection != link_number_) return;
  const std::string topic = MethodResponseTopic(rid, status);
  mqtt::AppendPublish({.topic = topic, .payload = body}, client_->out());
  client_->Flush();
}

}  // namespace holdfast::uplink
