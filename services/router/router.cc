#include "services/router/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <thread>

#include "lib/base/log.h"
#include "lib/base/status.h"

namespace holdfast::router {
namespace {

constexpr unsigned kIoThreadsDefaultMax = 4;

// Tells the connections of this process from those of any other.
std::string RandomName() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

size_t ThreadCount(const RouterOptions& options) {
  if (options.io_threads > 0) return static_cast<size_t>(options.io_threads);
  return std::clamp(std::thread::hardware_concurrency(), 1u, kIoThreadsDefaultMax);
}

}  // namespace

Router::Router(const RouterOptions& options, Parts parts)
    : options_(options),
      parts_(parts),
      metrics_(&parts.metrics),
      limit_(options.connections_max),
      homes_(std::make_unique<HomeThreads>(ThreadCount(options))),
      auth_(std::make_unique<AuthClient>(&parts.auth, options.auth_timeout)),
      keeper_(std::make_unique<SessionKeeper>(
          &parts.store, &parts.clock, options.session_checkpoint_interval,
          SessionStore::Options{.queues = routes_.queues(),
                                .dedupe_window = static_cast<size_t>(options.dedupe_window),
                                .session_expiry = options.session_expiry})),
      presence_(&parts.store, parts.instance),
      events_(&parts.clock,
              [this](const std::string& client_id, auto use) { ReachSession(client_id, std::move(use)); }),
      methods_([this](const std::string& client_id, auto use) { ReachSession(client_id, std::move(use)); }),
      twins_(
          {.options = options_,
           .clock = parts.clock,
           .store = parts.store,
           .metrics = metrics_,
           .with_session = [this](const std::string& client_id, auto use) { ReachSession(client_id, std::move(use)); },
           .link = [this] { return presence_.link(); },
           .route_change = parts.route_twin_change}),
      greeter_(
          std::make_unique<Greeter>(Greeter::Parts{.options = options_,
                                                   .clock = parts.clock,
                                                   .auth = *auth_,
                                                   .identities = identities_,
                                                   .homes = *homes_,
                                                   .metrics = metrics_,
                                                   .hand_over = [this](std::shared_ptr<AcceptedConnection> connection) {
                                                     workers_[connection->home->thread()]->Adopt(std::move(connection));
                                                   }})) {
  const size_t count = ThreadCount(options);
  const std::string name = RandomName();
  for (size_t i = 0; i < count; ++i) {
    workers_.push_back(std::make_unique<Worker>(Worker::Parts{.options = options_,
                                                              .routes = routes_,
                                                              .clock = parts.clock,
                                                              .metrics = metrics_,
                                                              .identities = identities_,
                                                              .keeper = *keeper_,
                                                              .store = parts.store,
                                                              .methods = methods_,
                                                              .twins = twins_,
                                                              .presence = presence_,
                                                              .events = events_,
                                                              .name = fmt::format("{}-{}", name, i),
                                                              .workers = count}));
  }
}

absl::StatusOr<std::unique_ptr<Router>> Router::Create(const RouterOptions& options, Parts parts) {
  auto router = std::unique_ptr<Router>(new Router(options, parts));
  IoThread* const accepting = &router->workers_[0]->thread();
  if (!options.mqtt_address.empty()) {
    ASSIGN_OR_RETURN(router->mqtt_, Listener::Create("mqtt_address", options.mqtt_address, !options.plain_mqtt_anywhere,
                                                     accepting, &router->limit_));
  }
  if (!options.mqtts_address.empty()) {
    ASSIGN_OR_RETURN(router->mqtts_,
                     Listener::Create("mqtts_address", options.mqtts_address, false, accepting, &router->limit_));
    if (options.certificate_file.empty()) {
      router->certificate_ = ServerCertificate::FromAuth(&parts.auth);
    } else {
      ASSIGN_OR_RETURN(router->certificate_,
                       ServerCertificate::FromFiles(options.certificate_file, options.private_key_file));
    }
  }
  return router;
}

Router::~Router() {
  Stop();
}

IoThread* Router::NextThread() {
  return &workers_[next_thread_.fetch_add(1, std::memory_order_relaxed) % workers_.size()]->thread();
}

void Router::ReachSession(const std::string& client_id, std::function<void(Session*)> use) {
  if (const auto thread = homes_->Find(client_id)) return workers_[*thread]->WithSession(client_id, std::move(use));
  use(nullptr);
}

void Router::StartListener(Listener* listener, bool tls) {
  listener->Start(
      [this] { return NextThread(); },
      [this, tls](IoThread* thread, boost::asio::ip::tcp::socket socket, std::unique_ptr<ConnectionLimit::Slot> slot) {
        greeter_->Greet(thread, std::move(socket), std::move(slot), tls ? certificate_->context() : nullptr);
      });
  spdlog::info("listening protocol={} port={}", tls ? "mqtts" : "mqtt", listener->port());
}

void Router::Restore(std::vector<KeptSession> sessions) {
  for (KeptSession& session : sessions) {
    auto home = homes_->Claim(session.client_id);
    Worker* const worker = workers_[home->thread()].get();
    worker->Restore(std::make_shared<KeptSession>(std::move(session)), std::move(home));
  }
}

void Router::Start(std::function<void()> on_ready) {
  watch_ =
      std::make_unique<IdentityWatch>(&parts_.auth, &identities_,
                                      IdentityWatch::Events{.on_drop =
                                                                [this](const IdentityChanges::Drop& drop) {
                                                                  for (const auto& worker : workers_)
                                                                    worker->Drop(drop);
                                                                  if (drop.removed) {
                                                                    twins_.OnRemoved(drop.identity, drop.with_modules);
                                                                  }
                                                                },
                                                            .on_list =
                                                                [this] {
                                                                  for (const auto& worker : workers_)
                                                                    worker->CheckGrants();
                                                                }});
  presence_.Start({.on_taken_over =
                       [this](const std::string& client_id, const std::string& connection) {
                         if (const auto thread = homes_->Find(client_id)) {
                           workers_[*thread]->TakenOver(client_id, connection);
                         }
                       },
                   .on_client = [this](const std::string& client_id,
                                       const Presence::Client* client) { events_.OnClient(client_id, client); },
                   .on_link =
                       [this](const std::optional<Presence::Link>& link) {
                         events_.OnLink(link);
                         twins_.OnLink(link);
                       }});
  twins_.Start();
  std::vector<SessionKeeper::TakeSnapshot> snapshots;
  for (const auto& worker : workers_) {
    snapshots.push_back(
        [w = worker.get()](std::function<void(SessionKeeper::Snapshot)> done) { w->TakeSnapshot(std::move(done)); });
  }
  keeper_->Start(std::move(snapshots), [this, on_ready = std::move(on_ready)](std::vector<KeptSession> sessions) {
    Restore(std::move(sessions));
    if (mqtt_ != nullptr) StartListener(mqtt_.get(), /*tls=*/false);
    if (mqtts_ == nullptr) return on_ready();
    certificate_->Start([this, on_ready] {
      StartListener(mqtts_.get(), /*tls=*/true);
      on_ready();
    });
  });
}

void Router::Stop() {
  if (std::exchange(stopped_, true)) return;
  // First: it starts what is stopped below.
  keeper_->Stop();
  if (certificate_ != nullptr) certificate_->Stop();
  if (mqtt_ != nullptr) mqtt_->Stop();
  if (mqtts_ != nullptr) mqtts_->Stop();
  watch_.reset();
  methods_.Stop();
  twins_.Stop();
  // Its answers are posted to the threads: before those end.
  auth_->Stop();
  for (const auto& worker : workers_) worker->Stop(options_.stop_grace);
  presence_.Stop();
}

std::vector<v1::Session> Router::ListSessions(const std::string& after, size_t limit, bool* more) {
  std::vector<v1::Session> all;
  for (const auto& worker : workers_) {
    for (v1::Session& session : worker->Sessions()) {
      if (session.client_id() > after) all.push_back(std::move(session));
    }
  }
  std::sort(all.begin(), all.end(),
            [](const v1::Session& a, const v1::Session& b) { return a.client_id() < b.client_id(); });
  *more = all.size() > limit;
  if (*more) all.resize(limit);
  return all;
}

bool Router::Knows(const std::string& client_id) {
  return homes_->Find(client_id).has_value() || presence_.Find(client_id).has_value();
}

absl::Status Router::CloseSession(const std::string& client_id) {
  for (const auto& worker : workers_) {
    if (worker->CloseSession(client_id)) return absl::OkStatus();
  }
  return absl::NotFoundError(fmt::format("no session of client id {}", Printable(client_id)));
}

v1::GetRouterStatusResponse Router::Status() const {
  v1::GetRouterStatusResponse out;
  size_t sessions = 0;
  bool paused = false;
  for (const auto& worker : workers_) {
    sessions += worker->session_count();
    paused = paused || worker->paused();
  }
  out.set_sessions(static_cast<uint32_t>(sessions));
  out.set_paused(paused);
  out.set_mqtt_port(mqtt_port());
  out.set_mqtts_port(mqtts_port());
  if (const auto context = certificate_ == nullptr ? nullptr : certificate_->context(); context != nullptr) {
    out.mutable_certificate_not_after()->set_seconds(absl::ToUnixSeconds(context->not_after()));
  }
  out.set_received(metrics_.received());
  out.set_acknowledged(metrics_.acknowledged());
  return out;
}

}  // namespace holdfast::router
