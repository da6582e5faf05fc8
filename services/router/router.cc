#include "services/router/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <thread>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

constexpr unsigned kIoThreadsDefaultMax = 4;

// Tells the connections of this process from those of any other.
std::string RandomName() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

constexpr std::string_view kEdgeHubModule = "$edgeHub";
constexpr absl::Duration kConfigureTimeout = absl::Seconds(5);

size_t ThreadCount(const RouterOptions& options) {
  if (options.io_threads > 0) return static_cast<size_t>(options.io_threads);
  return std::clamp(std::thread::hardware_concurrency(), 1u, kIoThreadsDefaultMax);
}

}  // namespace

Router::Router(const RouterOptions& options, Parts parts)
    : options_(options),
      parts_(parts),
      metrics_(&parts.metrics),
      client_queues_(&parts.store, options.client_queue_bytes_max),
      limit_(options.connections_max),
      homes_(std::make_unique<HomeThreads>(ThreadCount(options))),
      auth_(std::make_unique<AuthClient>(&parts.auth, options.auth_timeout)),
      keeper_(std::make_unique<SessionKeeper>(
          &parts.store, &parts.clock, options.session_checkpoint_interval,
          SessionStore::Options{.queues = {std::string(kUpstreamQueue)},
                                .dedupe_window = static_cast<size_t>(options.dedupe_window),
                                .session_expiry = options.session_expiry})),
      settings_({.file = options.settings_file,
                 .routes = {.strict_compat = options.routes_strict_compat},
                 .gateway_device_id = options.gateway_device_id,
                 .version = parts.version},
                &parts.store, &parts.clock),
      presence_(&parts.store, parts.instance),
      events_(&parts.clock,
              [this](const std::string& client_id, auto use) { ReachSession(client_id, std::move(use)); }),
      methods_(
          {.with_session = [this](const std::string& client_id, auto use) { ReachSession(client_id, std::move(use)); },
           .find_elsewhere = [this](const std::string& client_id) { return FindElsewhere(client_id); },
           .clock = parts.clock,
           .metrics = parts.metrics}),
      twins_(
          {.options = options_,
           .clock = parts.clock,
           .store = parts.store,
           .metrics = metrics_,
           .with_session = [this](const std::string& client_id, auto use) { ReachSession(client_id, std::move(use)); },
           .link = [this] { return presence_.link(); },
           .route_change = [this](const message::v1::Envelope& change) { return RouteTwinChange(change); }}),
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
  const auto routes = Routes::Default();
  routes_ = routes;
  for (size_t i = 0; i < count; ++i) {
    workers_.push_back(std::make_unique<Worker>(Worker::Parts{.options = options_,
                                                              .routes = routes,
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
                                                              .instance = parts.instance,
                                                              .workers = count}));
  }
}

absl::StatusOr<std::unique_ptr<Router>> Router::Create(const RouterOptions& options, Parts parts) {
  auto router = std::unique_ptr<Router>(new Router(options, parts));
  IoThread* const accepting = &router->workers_[0]->thread();
  const auto listen = [&](std::string name, const std::string& address, bool loopback_only = false) {
    return Listener::Create({.name = std::move(name),
                             .address = address,
                             .loopback_only = loopback_only,
                             .share_port = options.share_ports},
                            accepting, &router->limit_);
  };
  if (!options.mqtt_address.empty()) {
    ASSIGN_OR_RETURN(router->mqtt_, listen("mqtt_address", options.mqtt_address, !options.plain_mqtt_anywhere));
  }
  if (!options.mqtts_address.empty()) {
    ASSIGN_OR_RETURN(router->mqtts_, listen("mqtts_address", options.mqtts_address));
  }
  if (!options.https_address.empty()) {
    ASSIGN_OR_RETURN(router->https_, listen("https_address", options.https_address));
    ASSIGN_OR_RETURN(MethodRules rules, MethodRules::Parse(options.method_rules));
    router->method_endpoint_ = std::make_unique<MethodEndpoint>(MethodEndpoint::Parts{
        .auth = *router->auth_,
        .calls = router->methods_,
        .rules = std::move(rules),
        .gateway_device_id = [settings = &router->settings_] { return settings->gateway_device_id(); }});
    router->method_endpoint_->AddTo(&router->http_);
    ASSIGN_OR_RETURN(router->scope_requests_, ScopeRequests::Create(router->auth_.get(), parts.clock.WallNow()));
    router->scope_requests_->AddTo(&router->http_);
  }
  if (router->mqtts_ != nullptr || router->https_ != nullptr) {
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

void Router::StartHttps() {
  https_->Start(
      [this] { return NextThread(); },
      [this](IoThread* thread, boost::asio::ip::tcp::socket socket, std::unique_ptr<ConnectionLimit::Slot> slot) {
        http_.Serve(thread, std::move(socket), std::move(slot), certificate_->context());
      });
  spdlog::info("listening protocol=https port={}", https_->port());
}

std::shared_ptr<grpc::Channel> Router::FindElsewhere(const std::string& client_id) {
  const auto client = presence_.Find(client_id);
  if (!client || !client->methods() || client->router_instance() == presence_.instance()) return nullptr;
  return parts_.routers == nullptr ? nullptr : parts_.routers->To(client->router_instance());
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

void Router::LearnSessions(const kv::KeyWatch::Update& update) {
  for (const store::v1::Change& change : update.changes) {
    std::optional<v1::StoredSession> stored;
    if (!change.deleted()) {
      stored.emplace();
      if (!stored->ParseFromString(change.entry().value())) continue;
      // Empty: of a version that did not say, when there was one router only.
      if (stored->router_instance().empty() || stored->router_instance() == parts_.instance) continue;
    }
    std::string client_id = change.entry().key().substr(kSessionKeys.size());
    auto home = homes_->Claim(client_id);
    Worker* const worker = workers_[home->thread()].get();
    worker->Learn(std::move(client_id), std::move(stored), std::move(home));
  }
}

void Router::Start(std::function<void()> on_ready) {
  watch_ = std::make_unique<IdentityWatch>(
      &parts_.auth, &identities_,
      IdentityWatch::Events{.on_drop = [this](const IdentityChanges::Drop& drop) { Drop(drop); },
                            .on_list =
                                [this] {
                                  for (const auto& worker : workers_) worker->CheckGrants();
                                },
                            .on_gateway_device = [this](const std::string& id) { settings_.SetGatewayDevice(id); }});
  presence_.Start({.on_taken_over =
                       [this](const std::string& client_id, const std::string& connection) {
                         if (const auto thread = homes_->Find(client_id)) {
                           workers_[*thread]->TakenOver(client_id, connection);
                         }
                       },
                   .on_client =
                       [this](const std::string& client_id, const Presence::Client* client) {
                         events_.OnClient(client_id, client);
                         settings_.OnClient(client_id, client != nullptr);
                         if (client != nullptr && client->methods()) methods_.OnElsewhere(client_id);
                       },
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
  settings_.Start([this](const Settings::InForce& in_force) { return Apply(in_force); },
                  [this, snapshots = std::move(snapshots), on_ready = std::move(on_ready)]() mutable {
                    StartServing(std::move(snapshots), std::move(on_ready));
                  });
}

void Router::StartServing(std::vector<SessionKeeper::TakeSnapshot> snapshots, std::function<void()> on_ready) {
  keeper_->Start(std::move(snapshots), [this, on_ready = std::move(on_ready)](std::vector<KeptSession> sessions) {
    Restore(std::move(sessions));
    session_watch_ =
        std::make_unique<kv::KeyWatch>(&parts_.store, std::string(kSessionKeys),
                                       [this](const kv::KeyWatch::Update& update) { LearnSessions(update); });
    if (mqtt_ != nullptr) StartListener(mqtt_.get(), /*tls=*/false);
    if (certificate_ == nullptr) return on_ready();
    certificate_->Start([this, on_ready] {
      if (mqtts_ != nullptr) StartListener(mqtts_.get(), /*tls=*/true);
      if (https_ != nullptr) StartHttps();
      on_ready();
    });
  });
}

void Router::Drop(const IdentityChanges::Drop& drop) {
  std::shared_ptr<void> sessions_ended;
  if (drop.removed) {
    // Let go of by the last thread: before that, a session might make its queue anew.
    sessions_ended = std::shared_ptr<void>(nullptr, [this, identity = drop.identity, all = drop.with_modules](void*) {
      client_queues_.Delete(identity, all);
    });
    twins_.OnRemoved(drop.identity, drop.with_modules);
  }
  for (const auto& worker : workers_) worker->Drop(drop, sessions_ended);
}

absl::Status Router::SetRoutes(std::shared_ptr<const routes::RouteTable> table, const std::string& gateway_device_id,
                               int32_t ttl_seconds) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Routes> routes,
                   Routes::Create(table, gateway_device_id.empty() ? options_.gateway_device_id : gateway_device_id));
  client_queues_.Configure(routes->ClientQueues(), ttl_seconds);
  for (const auto& worker : workers_) worker->SetRoutes(routes);
  absl::MutexLock lock(&table_mutex_);
  table_ = std::move(table);
  routes_ = routes;
  return absl::OkStatus();
}

std::vector<Copy> Router::RouteTwinChange(const message::v1::Envelope& change) const {
  std::shared_ptr<const Routes> routes;
  {
    absl::MutexLock lock(&table_mutex_);
    routes = routes_;
  }
  // As IoT Edge has it: what is sent about a twin comes from the gateway itself (contract: /twinChangeNotifications),
  // so `NOT IS_DEFINED($connectionModuleId)` leaves it out.
  routes::NoMatch no_match = routes::NoMatch::kNone;
  std::vector<Copy> copies;
  for (const Copy* copy : routes->Route({.device_id = change.device_id(),
                          .module_id = kEdgeHubModule,
                          .property_bag = change.property_bag(),
                          .body = change.body(),
                          .received_unix_ms = change.received_unix_ms(),
                          .twin_change = true},
                                        &no_match)) {
    copies.push_back(*copy);
  }
  return copies;
}

absl::Status Router::Apply(const Settings::InForce& in_force) {
  const auto ttl_seconds = static_cast<int32_t>(in_force.ttl_seconds.value_or(-1));
  // The store's 0 stands for its own default; nothing lives shorter than a second.
  const int32_t stored_ttl = in_force.is_default ? 0 : ttl_seconds == 0 ? 1 : ttl_seconds;
  RETURN_IF_ERROR(SetRoutes(in_force.routes, in_force.gateway_device_id, stored_ttl));
  if (in_force.is_default) return absl::OkStatus();
  store::v1::ConfigureQueueRequest request;
  request.set_queue(std::string(kUpstreamQueue));
  request.mutable_settings()->set_ttl_seconds(stored_ttl);
  request.mutable_settings()->set_bytes_max(static_cast<uint64_t>(in_force.max_size_bytes.value_or(0)));
  store::v1::ConfigureQueueResponse response;
  grpc::ClientContext context;
  rpc::SetDeadline(&context, kConfigureTimeout);
  return rpc::FromGrpc(store::v1::Queues::NewStub(parts_.store.Pick())->ConfigureQueue(&context, request, &response));
}

void Router::Stop() {
  if (std::exchange(stopped_, true)) return;
  // First: they start what is stopped below.
  settings_.Stop();
  keeper_->Stop();
  if (certificate_ != nullptr) certificate_->Stop();
  if (mqtt_ != nullptr) mqtt_->Stop();
  if (mqtts_ != nullptr) mqtts_->Stop();
  if (https_ != nullptr) https_->Stop();
  watch_.reset();
  if (session_watch_ != nullptr) session_watch_->Stop();
  client_queues_.Stop();
  methods_.Stop();
  twins_.Stop();
  http_.Stop();
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

void Router::DescribeSettings(v1::Settings* out) const {
  const Settings::Status status = settings_.status();
  out->set_source(status.source);
  if (status.version) out->set_version(*status.version);
  out->set_error(status.error);
  out->set_ttl_seconds(status.ttl_seconds.value_or(-1));
  std::shared_ptr<const routes::RouteTable> table;
  {
    absl::MutexLock lock(&table_mutex_);
    table = table_;
  }
  if (table == nullptr) return;
  for (size_t i = 0; i < table->routes().size(); ++i) {
    const routes::RouteDefinition& definition = table->routes()[i].definition;
    const routes::RouteCounts counts = table->counts(i);
    v1::Route* const route = out->add_routes();
    route->set_name(definition.name);
    route->set_text(definition.text);
    route->set_priority(definition.priority);
    route->set_ttl_seconds(definition.ttl_seconds);
    route->set_matched(counts.matched);
    route->set_undefined(counts.undefined);
  }
  uint64_t unmatched = 0;
  for (const auto reason : {routes::NoMatch::kSource, routes::NoMatch::kFalse, routes::NoMatch::kUndefined}) {
    unmatched += table->messages(reason);
  }
  out->set_unmatched(unmatched);
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
  out.set_https_port(https_port());
  if (const auto context = certificate_ == nullptr ? nullptr : certificate_->context(); context != nullptr) {
    out.mutable_certificate_not_after()->set_seconds(absl::ToUnixSeconds(context->not_after()));
  }
  DescribeSettings(out.mutable_settings());
  out.set_received(metrics_.received());
  out.set_acknowledged(metrics_.acknowledged());
  return out;
}

}  // namespace holdfast::router
