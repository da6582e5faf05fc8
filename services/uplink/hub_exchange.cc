#include "services/uplink/hub_exchange.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <optional>
#include <random>
#include <utility>

#include "holdfast/presence/v1/presence.pb.h"
#include "lib/base/log.h"
#include "lib/presence/keys.h"
#include "lib/twin/twin_record.h"

namespace holdfast::uplink {
namespace {

std::function<double()> SystemRandom() {
  std::random_device device;
  std::seed_seq seed{device(), device(), device(), device()};
  return [engine = std::mt19937_64(seed)]() mutable { return std::uniform_real_distribution<double>(0, 1)(engine); };
}

}  // namespace

struct HubExchange::Counters {
  explicit Counters(Metrics* m)
      : held(m->Gauge("holdfast_uplink_held_clients", "Clients for whom a connection to the hub is held.")),
        pending(m->Gauge("holdfast_uplink_twins_pending", "Twins with reported properties that the hub was not told.")),
        refusals(m->Counter("holdfast_uplink_twin_refusals_total",
                            "Patches of reported properties that the hub refused for good.")) {}
  prometheus::Gauge& held;
  prometheus::Gauge& pending;
  prometheus::Counter& refusals;
};

HubExchange::HubExchange(Options options, rpc::Channels* store, rpc::Channels* router, Metrics* metrics,
                         const Clock& clock, boost::asio::io_context& io, Owner* owner)
    : options_(options),
      clock_(clock),
      io_(io),
      owner_(owner),
      counters_(std::make_unique<Counters>(metrics)),
      calls_(io),
      twins_(store, &calls_),
      twin_rate_(options.twin_requests_per_second),
      c2d_(options.c2d, store, &calls_, metrics, clock, io),
      methods_(options.methods, router, &calls_, metrics),
      parts_{.io = io,
             .clock = clock,
             .c2d = &c2d_,
             .methods = &methods_,
             .twins = &twins_,
             .twin_rate = &twin_rate_,
             .twin_options = options.twin,
             .random = SystemRandom(),
             .twin_refusals = &counters_->refusals},
      wants_(options.wants),
      store_(store) {}

HubExchange::~HubExchange() {
  Stop();
}

void HubExchange::Start() {
  presence_watch_ = std::make_unique<kv::KeyWatch>(store_, std::string(presence::kClientKeys),
                                                   [this](const auto& update) { OnPresence(update); });
  twin_watch_ = std::make_unique<kv::KeyWatch>(store_, std::string(twin::kTwinKeys),
                                               [this](const auto& update) { OnTwins(update); });
}

void HubExchange::Stop() {
  presence_watch_.reset();
  twin_watch_.reset();
  calls_.Stop();
}

void HubExchange::Post(std::function<void()> work) {
  boost::asio::post(io_, std::move(work));
}

// On the watch's thread.
void HubExchange::OnPresence(const kv::KeyWatch::Update& update) {
  std::vector<std::pair<std::string, std::optional<presence::v1::ClientPresence>>> clients;
  for (const store::v1::Change& change : update.changes) {
    auto& [name, presence] =
        clients.emplace_back(change.entry().key().substr(presence::kClientKeys.size()), std::nullopt);
    if (change.deleted()) continue;
    if (!presence.emplace().ParseFromString(change.entry().value())) presence.reset();
  }
  Post([this, reset = update.reset, clients = std::move(clients)] {
    if (reset) wants_.ClearPresence();
    for (const auto& [name, presence] : clients) {
      if (name == own_) continue;
      presence ? wants_.SetPresence(name, *presence) : wants_.RemovePresence(name);
    }
    if (reset && !own_.empty()) SetOwn(own_);
    UpdateChanged();
  });
}

// On the watch's thread, where the documents stay: 10,000 of them would be much for the loop.
void HubExchange::OnTwins(const kv::KeyWatch::Update& update) {
  std::vector<std::pair<std::string, std::optional<TwinState>>> twins;
  twin::v1::TwinRecord record;
  for (const store::v1::Change& change : update.changes) {
    auto& [name, state] = twins.emplace_back(change.entry().key().substr(twin::kTwinKeys.size()), std::nullopt);
    if (change.deleted()) continue;
    state = record.ParseFromString(change.entry().value()) ? StateOf(record) : TwinState{};
  }
  Post([this, reset = update.reset, twins = std::move(twins)] {
    if (reset) wants_.ClearTwins();
    for (const auto& [name, state] : twins) {
      state ? wants_.SetTwin(name, *state) : wants_.RemoveTwin(name);
    }
    UpdateChanged();
  });
}

// The gateway itself is there whenever the link is, and its twin holds its settings.
void HubExchange::SetOwn(const std::string& client) {
  if (client != own_) {
    if (!own_.empty()) wants_.RemovePresence(own_);
    own_ = client;
  }
  presence::v1::ClientPresence presence;
  presence.set_desired_properties(true);
  wants_.SetPresence(client, presence);
  UpdateChanged();
}

void HubExchange::UpdateChanged() {
  for (const std::string& client : wants_.TakeChanged()) Update(client);
}

void HubExchange::Update(const std::string& client, bool errand_ended) {
  const Duties duties = wants_.duties(client);
  if (const auto it = sessions_.find(client); it != sessions_.end()) {
    const auto session = it->second;
    session->SetDuties(duties);
    if (wants_.pending(client)) session->OnPending();
  }
  if (client == own_) return;
  if (duties.any() == wanted_.contains(client)) return;
  if (duties.any()) {
    wanted_.insert(client);
  } else {
    wanted_.erase(client);
  }
  owner_->OnWanted(client, duties.any(), errand_ended && !wants_.present(client));
}

void HubExchange::Open(const std::string& client, mqtt::Client* connection, bool session_present,
                       std::function<uint16_t()> packet_id) {
  Close(client);
  HubSession::Callbacks callbacks{.on_progress = [this, client] { owner_->OnExchangeProgress(client); },
                                  .on_settled =
                                      [this, client] {
                                        wants_.EndErrand(client, clock_.SinceBoot());
                                        Update(client, true);
                                      },
                                  .on_renew = [this, client] { owner_->OnRenewWanted(client); },
                                  .packet_id = std::move(packet_id)};
  const auto session = std::make_shared<HubSession>(parts_, client, connection, client == own_, std::move(callbacks));
  sessions_[client] = session;
  session->Begin(wants_.duties(client), session_present);
}

void HubExchange::Close(const std::string& client) {
  const auto it = sessions_.find(client);
  if (it == sessions_.end()) return;
  const auto session = std::move(it->second);
  sessions_.erase(it);
  session->End();
}

void HubExchange::OnPublish(const std::string& client, const mqtt::Publish& publish) {
  const auto it = sessions_.find(client);
  if (it == sessions_.end()) return;
  const auto session = it->second;
  session->OnPublish(publish);
}

void HubExchange::OnSuback(const std::string& client, const mqtt::Suback& suback) {
  const auto it = sessions_.find(client);
  if (it == sessions_.end()) return;
  const auto session = it->second;
  session->OnSuback(suback);
}

bool HubExchange::idle(const std::string& client) const {
  const auto it = sessions_.find(client);
  return it == sessions_.end() || it->second->idle();
}

std::string HubExchange::trouble(const std::string& client) const {
  const auto it = sessions_.find(client);
  return it == sessions_.end() ? "" : it->second->trouble();
}

void HubExchange::SetGone(const std::string& client) {
  wants_.SetGone(client, clock_.SinceBoot());
  UpdateChanged();
}

void HubExchange::Tick(bool online) {
  for (const std::string& client : wants_.Tick(clock_.SinceBoot(), clock_.WallNow(), online)) {
    Update(client, true);
  }
  const Report now = report();
  counters_->held.Set(static_cast<double>(now.held));
  counters_->pending.Set(static_cast<double>(now.twins_pending));
}

HubExchange::Report HubExchange::report() const {
  return {.present = wants_.present_count(), .held = wants_.held_count(), .twins_pending = wants_.pending_count()};
}

}  // namespace holdfast::uplink
