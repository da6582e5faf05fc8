#include "services/uplink/hub_upstream.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <random>
#include <utility>

#include "lib/base/log.h"
#include "lib/mqtt/packet.h"
#include "services/uplink/hub_upstream_counters.h"

namespace holdfast::uplink {
namespace {

namespace asio = boost::asio;

// Messages of the gateway's own in flight.
constexpr uint32_t kOwnInFlightMax = 256;
constexpr size_t kTroublesShown = 20;

std::function<double()> SystemRandom() {
  std::random_device device;
  std::seed_seq seed{device(), device(), device(), device()};
  return [engine = std::mt19937_64(seed)]() mutable { return std::uniform_real_distribution<double>(0, 1)(engine); };
}

}  // namespace

struct HubUpstream::Timer {
  explicit Timer(asio::io_context& io) : timer(io) {}
  asio::steady_timer timer;
  absl::Duration at = absl::InfiniteDuration();
};

HubUpstream::HubUpstream(Options options, const Services& services, Metrics* metrics, const Clock& clock,
                         UpstreamHost* host, asio::io_context& io, Link* link)
    : options_(std::move(options)),
      clock_(clock),
      host_(host),
      io_(io),
      link_(link),
      timer_(std::make_unique<Timer>(io)),
      counters_(std::make_unique<Counters>(metrics)),
      gateway_{options_.hub_hostname, options_.device_id},
      plan_(options_.plan, SystemRandom()),
      exchange_(options_.exchange, services.store, services.router, metrics, clock, io,
                static_cast<HubExchange::Owner*>(this)),
      sync_(services.auth, options_.sync,
            {.on_snapshot =
                 [this](const absl::Status& status, StringMap<std::string> parents) {
                   Post([this, status, parents = std::move(parents)]() mutable {
                     OnSnapshot(status, std::move(parents));
                   });
                 },
             .on_verdict = [this](const std::string& identity,
                                  Verdict verdict) { Post([=, this] { OnVerdict(identity, verdict); }); },
             .on_parents =
                 [this](StringMap<std::string> parents) {
                   Post([this, parents = std::move(parents)]() mutable {
                     parents_ = std::move(parents);
                     knows_parents_ = true;
                     SetTimer();
                   });
                 }}),
      tokens_(services.auth, options_.token_lifetime, clock,
              {.on_token = [this](Token token) { Post([this, token = std::move(token)] { OnToken(token); }); },
               .on_problem = [this](absl::Status status) { Post([=, this] { OnTokenProblem(status); }); }}) {}

HubUpstream::~HubUpstream() {
  tokens_.Stop();
  sync_.Stop();
  exchange_.Stop();
}

void HubUpstream::Post(std::function<void()> work) {
  asio::post(io_, std::move(work));
}

void HubUpstream::Start() {
  sync_.Start();
  exchange_.Start();
  if (!options_.device_id.empty()) {  // X.509: nothing to sign
    const Login login = GatewayLogin(gateway_, options_.version);
    exchange_.SetOwn(gateway_.name());
    sync_.SetGateway(gateway_.device_id, "");
    link_->SetLogin(login.client_id, login.user_name, "");
    return;
  }
  waits_for_ = "waiting for auth to sign a token for the hub";
  tokens_.Start();
}

void HubUpstream::Stop() {
  stopping_ = true;
  sync_.BeginStop();
}

void HubUpstream::Close() {
  timer_->timer.cancel();
  for (const auto& c : children_) {
    if (c && c->connection) c->connection->Close();
  }
}

void HubUpstream::OnToken(Token token) {
  gateway_ = {token.hub_hostname.empty() ? options_.hub_hostname : token.hub_hostname, token.device_id};
  token_ = std::move(token);
  waits_for_.clear();
  exchange_.SetOwn(gateway_.name());
  const Login login = GatewayLogin(gateway_, options_.version);
  sync_.SetGateway(gateway_.device_id, token_->password);
  link_->SetLogin(login.client_id, login.user_name, token_->password);
}

void HubUpstream::OnTokenProblem(const absl::Status& status) {
  waits_for_ = fmt::format("auth gives no token for the hub: {}", std::string(status.message()));
  host_->Changed();
}

bool HubUpstream::OnLinkUp(mqtt::Client* client) {
  client_ = client;
  ++link_number_;
  suspect_ = false;
  if (token_) {
    own_token_from_ = token_->renew_from();
    own_token_by_ = token_->renew_by();
  }
  // The children's: loaded anew with each login, so that renewed files count.
  if (options_.client.tls) {
    auto tls = mqtt::LoadTlsContext(options_.client.tls_files);
    if (tls.ok()) tls_ = *std::move(tls);
  }
  OpenOwnExchange();
  const bool renewed = std::exchange(renewing_, false);
  sync_.SetOnline(true, !renewed);
  moved_at_ = Now();
  Pump();
  for (LaneId lane = 0; lane < children_.size(); ++lane) {
    if (children_[lane]) Wake(lane);
  }
  SetTimer();
  return renewed;
}

void HubUpstream::OnLinkDown() {
  exchange_.Close(gateway_.name());
  client_ = nullptr;
  if (own_lane_) host_->window().Rewind(*own_lane_);
}

void HubUpstream::OnLinkRefused(mqtt::ConnackCode code) {
  renewing_ = false;
  if (IsNotAuthorized(code)) tokens_.RenewNow();
}

// Offline is more than a new token: nobody's connection is worth anything then.
void HubUpstream::OnLinkState(LinkState state) {
  suspect_ = state == LinkState::kSuspect;
  if (state != LinkState::kOffline) return;
  renewing_ = false;
  sync_.SetOnline(false, false);
  exchange_.Tick(false);
  for (LaneId lane = 0; lane < children_.size(); ++lane) {
    if (children_[lane] && children_[lane]->connection) CloseChild(lane, false);
  }
  timer_->timer.cancel();
  timer_->at = absl::InfiniteDuration();
}

HubUpstream::Child& HubUpstream::child(LaneId lane) {
  if (lane >= children_.size()) children_.resize(lane + 1);
  if (!children_[lane]) children_[lane] = std::make_unique<Child>(options_.pace);
  return *children_[lane];
}

bool HubUpstream::is_own(LaneId lane) const {
  return own_lane_ == lane;
}

void HubUpstream::Pump() {
  if (!client_ || stopping_) return;
  Window& window = host_->window();
  Window::DeadLetters dead;
  std::vector<LaneId> woken;
  woken.swap(woken_);  // Wake may come back here
  woken.clear();
  window.Admit(&woken, &dead);
  if (!dead.empty()) host_->SetAside(std::move(dead));
  for (const LaneId lane : woken) Wake(lane);
  if (!woken.empty()) SetTimer();
  woken.swap(woken_);
}

// The lane has messages to send.
void HubUpstream::Wake(LaneId lane) {
  Window& window = host_->window();
  Child& c = child(lane);
  if (window.empty(lane)) return;
  if (!own_lane_ && window.name(lane) == gateway_.name()) own_lane_ = lane;
  if (is_own(lane)) return FillOwn();
  if (c.gone_until > Now()) return SetAside(lane, kNoLimit, c.trouble);
  plan_.SetWork(lane, true, Now());
  Fill(lane);
}

void HubUpstream::FillOwn() {
  if (!client_ || suspect_ || stopping_ || Now() >= own_token_by_) return;
  Window::DeadLetters dead;
  const auto filled = host_->window().Fill(*own_lane_, kOwnInFlightMax, kOutBytesMax, client_->out(), &dead);
  if (!dead.empty()) host_->SetAside(std::move(dead));
  if (filled.packets == 0) return;
  host_->Sent(filled);
  client_->Flush();
}

size_t HubUpstream::OnPubacks(std::span<const uint16_t> packet_ids) {
  if (!own_lane_) return 0;
  const size_t news = host_->window().OnPubacks(*own_lane_, packet_ids);
  delivered_ += news;
  if (news > 0) FillOwn();
  return news;
}

void HubUpstream::OnSnapshot(const absl::Status& status, StringMap<std::string> parents) {
  status.ok() ? counters_->syncs.Increment() : counters_->sync_failures.Increment();
  if (status.ok()) {
    parents_ = std::move(parents);
    for (const auto& c : children_) {
      if (c) c->gone_until = absl::ZeroDuration();
    }
  }
  link_->Synced();
  host_->Changed();
}

void HubUpstream::Tick() {
  timer_->at = absl::InfiniteDuration();
  const absl::Duration now = Now();
  const auto holder = host_->window().holder();
  if (holder && holder != holder_ && !is_own(*holder)) plan_.Prefer(*holder);
  holder_ = holder;
  WatchConnections(now);
  exchange_.Tick(client_ != nullptr && !stopping_);
  const LanePlan::Actions actions = plan_.Tick(now, client_ != nullptr && !stopping_);
  for (const LaneId lane : actions.drain) Drain(lane);
  for (const LaneId lane : actions.open) OpenChild(lane);
  SetTimer();
}

void HubUpstream::RenewLink(absl::Duration now) {
  if (!client_ || !token_ || now < own_token_from_ || renewing_) return;
  const bool newer = token_->renew_from() > now;
  const bool idle = !own_lane_ || host_->window().in_flight(*own_lane_) == 0;
  if (!newer || (!idle && now < token_->made_at + token_->lifetime)) return;
  renewing_ = true;
  spdlog::info("renewing the link's token by a new connection");
  link_->Renew();
}

void HubUpstream::SetTimer() {
  if (!client_ || !knows_parents_) return;
  const absl::Duration now = Now();
  const absl::Duration at = plan_.next_tick(now);
  if (at >= timer_->at) return;
  timer_->at = at;
  timer_->timer.expires_after(absl::ToChronoMicroseconds(std::max(at - now, absl::ZeroDuration())));
  timer_->timer.async_wait([this](const boost::system::error_code& error) {
    if (!error) Tick();
  });
}

void HubUpstream::Every() {
  const absl::Duration now = Now();
  RenewLink(now);
  if (delivered_ != delivered_seen_ || !client_ || !host_->window().full()) moved_at_ = now;
  delivered_seen_ = delivered_;
  stalled_ = now - moved_at_ >= options_.connectivity.stall_timeout;
}

bool HubUpstream::Owed() const {
  return own_lane_ && host_->window().in_flight(*own_lane_) > 0;
}

bool HubUpstream::idle() const {
  return !client_ || host_->window().in_flight() == 0;
}

UpstreamReport HubUpstream::Report() const {
  UpstreamReport report{.connections = client_ ? 1u : 0u, .stalled = stalled_, .waits_for = waits_for_};
  const Window& window = host_->window();
  const auto holder = window.holder();
  for (LaneId lane = 0; lane < children_.size(); ++lane) {
    if (!children_[lane]) continue;
    const Child& c = *children_[lane];
    report.connections += c.connection && c.connection->open();
    const bool connection = !c.trouble.empty();
    if (!connection && c.exchange_trouble.empty()) continue;
    ++report.troubles_total;
    const bool holds = holder == lane;
    if (report.troubles.size() >= kTroublesShown && !holds) continue;
    report.troubles.push_back({window.name(lane), connection ? c.trouble : c.exchange_trouble,
                               connection ? c.trouble_since : c.exchange_trouble_since, window.unacknowledged(lane),
                               holds});
  }
  std::ranges::stable_partition(report.troubles, &IdentityTrouble::holds_line);
  if (report.troubles.size() > kTroublesShown) report.troubles.resize(kTroublesShown);
  report.sync = sync_.status();
  const HubExchange::Report exchange = exchange_.report();
  report.held = static_cast<uint32_t>(exchange.held);
  report.twins_pending = static_cast<uint32_t>(exchange.twins_pending);
  counters_->connections.Set(report.connections);
  counters_->troubles.Set(report.troubles_total);
  return report;
}

}  // namespace holdfast::uplink
