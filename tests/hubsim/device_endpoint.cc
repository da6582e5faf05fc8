#include "tests/hubsim/device_endpoint.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "lib/base/log.h"
#include "tests/hubsim/device_connection.h"

namespace holdfast::hubsim {

using boost::asio::ip::tcp;
using nlohmann::json;

namespace {

constexpr size_t kPruneMin = 64;

std::string FullId(const Sender& sender) {
  return sender.module_id.empty() ? sender.device_id : sender.device_id + "/" + sender.module_id;
}

json FilterNames(uint8_t filters) {
  json out = json::array();
  if (filters & kTwinResponses) out.push_back("twin_responses");
  if (filters & kDesired) out.push_back("desired");
  if (filters & kMethods) out.push_back("methods");
  if (filters & kDevicebound) out.push_back("devicebound");
  if (filters & kInputs) out.push_back("inputs");
  return out;
}

}  // namespace

DeviceEndpoint::DeviceEndpoint(boost::asio::io_context& io, boost::asio::ssl::context& tls, HubState& state,
                               std::function<void()> twin_changed)
    : io_(io),
      tls_(tls),
      state_(state),
      twin_changed_(std::move(twin_changed)),
      methods_(io, [this](const MethodCall& call, const std::string& rid) { return SendMethod(call, rid); }),
      listener_(io, [this](tcp::socket socket) { OnSocket(std::move(socket)); }) {}

DeviceEndpoint::~DeviceEndpoint() = default;

void DeviceEndpoint::OnSocket(tcp::socket socket) {
  if (connections_.size() >= prune_at_) {
    std::erase_if(connections_, [](const auto& weak) { return weak.expired(); });
    if (connections_.size() >= kDeviceConnectionsMax) return spdlog::warn("connection refused: too many");
    prune_at_ = std::clamp(2 * connections_.size(), kPruneMin, kDeviceConnectionsMax);
  }
  auto connection = std::make_shared<DeviceConnection>(std::move(socket), tls_, *this, next_connection_++);
  connections_.push_back(connection);
  boost::asio::co_spawn(
      io_, [connection] { return connection->Run(); }, boost::asio::detached);
}

void DeviceEndpoint::Stop() {
  listener_.Close();
  methods_.Stop();
  Disconnect("", false);
}

bool DeviceEndpoint::Adopt(DeviceConnection* connection, bool clean_session) {
  const auto [at, is_new] = clients_.try_emplace(FullId(connection->sender()));
  Client& client = at->second;
  DeviceConnection* const old = std::exchange(client.connection, connection);
  if (clean_session) client.filters = 0;
  client.inbox.Abandon();
  if (old != nullptr) {
    ++state_.counters.takeovers;
    old->Close("takeover");
  }
  return !is_new && !clean_session;
}

void DeviceEndpoint::Forget(DeviceConnection* connection) {
  if (!connection->connected()) return;
  const auto at = clients_.find(FullId(connection->sender()));
  if (at != clients_.end() && at->second.connection == connection) {
    at->second.connection = nullptr;
    at->second.inbox.Abandon();
  }
}

absl::Time DeviceEndpoint::BatchTime() {
  if (batch_time_ == absl::InfinitePast()) batch_time_ = state_.clock.WallNow();
  return batch_time_;
}

void DeviceEndpoint::OnBatch() {
  if (batch_time_ == absl::InfinitePast()) return;
  batch_time_ = absl::InfinitePast();
  state_.events->Notify();
}

void DeviceEndpoint::OnRegistryChanged(std::string_view device_id) {
  const absl::Time now = state_.clock.WallNow();
  std::vector<DeviceConnection*> connected;
  for (const auto& [id, client] : clients_) {
    if (client.connection != nullptr) connected.push_back(client.connection);
  }
  for (DeviceConnection* connection : connected) {
    const Claim& claim = connection->claim();
    if (claim.device_id != device_id && claim.auth_chain.find(device_id) == std::string::npos) continue;
    const auto grant = state_.authenticator->CheckClient(claim, now);
    if (!grant.ok()) connection->Close("identity changed");
  }
  const auto is_gone = [this](std::string_view id) {
    const auto [device, module] = SplitId(id);
    return module.empty() ? state_.registry.FindDevice(device) == nullptr
                          : state_.registry.FindModule(device, module) == nullptr;
  };
  absl::erase_if(clients_,
                 [&](const auto& entry) { return entry.second.connection == nullptr && is_gone(entry.first); });
  state_.twins.RemoveIf(is_gone);
}

void DeviceEndpoint::OnFaultsChanged() {
  if (state_.faults.Refuses("mqtt")) {
    listener_.Close();
    Disconnect("", true);
  } else {
    listener_.Reopen();
  }
  const auto connections = connections_;
  for (const auto& weak : connections) {
    if (const auto connection = weak.lock()) connection->OnFaults();
  }
}

bool DeviceEndpoint::IsConnected(std::string_view id) const {
  const auto at = clients_.find(id);
  return at != clients_.end() && at->second.connection != nullptr;
}

size_t DeviceEndpoint::Disconnect(std::string_view id, bool reset) {
  if (!id.empty()) {
    const auto at = clients_.find(id);
    if (at == clients_.end() || at->second.connection == nullptr) return 0;
    at->second.connection->Close("asked", reset);
    return 1;
  }
  size_t closed = 0;
  const auto connections = std::move(connections_);
  connections_.clear();
  for (const auto& weak : connections) {
    const auto connection = weak.lock();
    if (connection == nullptr) continue;
    closed += connection->connected() ? 1 : 0;
    connection->Close("asked", reset);
  }
  return closed;
}

json DeviceEndpoint::Connections() const {
  json out = json::array();
  for (const auto& [id, client] : clients_) {
    const DeviceConnection* c = client.connection;
    if (c == nullptr) continue;
    const Sender& sender = c->sender();
    out.push_back({{"connection", c->id()},
                   {"device_id", sender.device_id},
                   {"module_id", sender.module_id.empty() ? json() : json(sender.module_id)},
                   {"actor", sender.actor.empty() ? json() : json(sender.actor)},
                   {"auth", c->claim().password.empty() ? "x509" : "sas"},
                   {"peer", c->peer()},
                   {"connected_at", absl::FormatTime(absl::RFC3339_full, c->since(), absl::UTCTimeZone())},
                   {"messages", c->messages()},
                   {"subscriptions", FilterNames(client.filters)}});
  }
  return out;
}

}  // namespace holdfast::hubsim
