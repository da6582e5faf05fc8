#include "services/router/worker.h"

#include <fmt/format.h>

#include <chrono>
#include <future>

#include "lib/base/log.h"

namespace holdfast::router {
namespace {

constexpr absl::Duration kSweepInterval = absl::Milliseconds(250);
// Sessions read again when what is pending has fallen to this part of the limit.
constexpr size_t kResumeFraction = 2;
// In the place of a session in receipts.
constexpr uint64_t kBarrier = UINT64_MAX;
constexpr uint64_t kSweepsToSave = 256;
// An append that waits for so long may be waiting for room that is held back for what router has to write down.
constexpr absl::Duration kAppendStall = absl::Milliseconds(200);

}  // namespace

Worker::Worker(const Parts& parts)
    : options_(parts.options),
      kept_max_(static_cast<size_t>(parts.options.kept_sessions_max) / parts.workers),
      metrics_(parts.metrics),
      identities_(parts.identities),
      keeper_(parts.keeper),
      presence_(parts.presence),
      events_(parts.events),
      name_(parts.name),
      instance_(parts.instance),
      routes_(parts.routes),
      read_buffer_(kReadBufferBytes),
      batcher_(&thread_, &parts.store, parts.metrics.registry(),
               {.on_committed = [this](const auto& receipts) { OnCommitted(receipts); },
                .on_refused = [this](const auto& receipts, const auto& status) { OnRefused(receipts, status); }}),
      deliveries_(&parts.options, &thread_, &parts.store, &parts.metrics),
      context_{.options = parts.options,
               .routes = routes_,
               .clock = parts.clock,
               .metrics = parts.metrics,
               .thread = thread_,
               .batcher = batcher_,
               .deliveries = deliveries_,
               .methods = parts.methods,
               .twins = parts.twins,
               .read_ahead_bytes = read_ahead_bytes_,
               .read_buffer = read_buffer_,
               .flush_soon = [this] { FlushSoon(); },
               .save =
                   [this](uint64_t id) {
                     const auto session = Find(id);
                     Save(clients_.find(session->client_id())->second.get(), [this, id] {
                       thread_.Post([this, id] {
                         if (const auto found = Find(id); found != nullptr) found->OnSaved();
                       });
                     });
                   },
               .on_interests = [this](Session& session) { OnInterests(session); },
               .on_closing = [this](Session& session) { OnClosing(session); },
               .on_closed = [this](uint64_t id, CloseReason) { OnClosed(id); }} {
  thread_.PostAfter(kSweepInterval, [this] { Sweep(); });
}

Worker::~Worker() {
  Stop(absl::ZeroDuration());
}

void Worker::Adopt(std::shared_ptr<AcceptedConnection> connection) {
  thread_.Post([this, connection] { AdoptNow(std::move(*connection)); });
}

void Worker::AdoptNow(AcceptedConnection connection) {
  if (stopping_ || !connection.transport->MoveTo(thread_.context())) return;
  // P11: once more, now that a change that comes later finds the session here.
  if (!identities_.Holds(connection.user.identity, connection.links, connection.identity_version)) {
    spdlog::info("client refused client_id={} peer={} reason=\"its identity changed after auth had judged it\"",
                 Printable(connection.user.identity.ClientId()), connection.transport->peer());
    std::string connack;
    mqtt::AppendConnack({.code = CodeFor(ConnectResult::kStaleGrant)}, &connack);
    connection.transport->Write(connack.data(), connack.size());
    connection.transport->ShutdownSend();
    return;
  }
  bool session_present = false;
  ClientEntry* const entry = PrepareClient(&connection, &session_present);
  const uint64_t id = next_session_++;
  entry->client.session = id;
  spdlog::info(
      "client connected client_id={} peer={} tls={} clean_session={} keep_alive={} session_present={} product={}{}",
      Printable(entry->client_id), connection.transport->peer(), connection.transport->tls(), connection.clean_session,
      connection.keep_alive_seconds, session_present, Printable(connection.user.client_type),
      connection.actor.empty() ? "" : fmt::format(" by_gateway={}", Printable(connection.actor)));
  const auto session = std::make_shared<Session>(id, std::move(connection), &entry->client, &context_);
  sessions_.emplace(id, session);
  session_count_.store(sessions_.size(), std::memory_order_relaxed);
  metrics_.Sessions(+1);
  session->Start(session_present);
}

void Worker::OnInterests(Session& session) {
  deliveries_.OnInterests(session);
  context_.methods.OnInterests(session);
  context_.twins.OnInterests(session);
  events_.OnInterests(session, presence_.link());
  if (session.closed()) return;
  Presence::Client client;
  client.set_connection(ConnectionName(session));
  client.mutable_connected_at()->set_seconds(absl::ToUnixSeconds(session.connected_at()));
  const Interests& interests = session.interests();
  const bool is_module = !session.identity().module_id.empty();
  client.set_cloud_to_device(interests.messages && !is_module);
  client.set_inputs(interests.messages && is_module);
  client.set_methods(interests.methods);
  client.set_desired_properties(interests.desired_properties);
  client.set_twin_responses(interests.twin_responses);
  client.set_client_type(session.client_type());
  client.set_model_id(session.model_id());
  presence_.Set(session.client_id(), std::move(client));
}

std::string Worker::ConnectionName(const Session& session) const {
  return fmt::format("{}-{}", name_, session.id());
}

void Worker::OnClosing(Session& session) {
  deliveries_.OnClosed(session);
  context_.methods.OnClosed(session);
  context_.twins.OnClosed(session);
  events_.OnClosed(session);
  presence_.Remove(session.client_id(), ConnectionName(session));
}

void Worker::OnClosed(uint64_t id) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return;
  const std::string client_id = it->second->client_id();
  std::vector<uint16_t> open = it->second->OpenIds();
  sessions_.erase(it);
  session_count_.store(sessions_.size(), std::memory_order_relaxed);
  metrics_.Sessions(-1);
  const auto client = clients_.find(client_id);
  if (client == clients_.end() || client->second->client.session != id) return;
  ClientEntry* const entry = client->second.get();
  entry->client.session = 0;
  if (!entry->client.kept) return Forget(entry);
  if (!open.empty()) {
    entry->client.open_ids.insert(entry->client.open_ids.end(), open.begin(), open.end());
    const uint64_t barrier = entry->open_barrier = next_barrier_;
    WhenCommitted([this, client_id, barrier] {
      const auto found = clients_.find(client_id);
      if (found != clients_.end() && found->second->open_barrier == barrier) found->second->client.open_ids.clear();
    });
  }
  if (entry->foreign.has_value()) {
    Move(entry);
  } else if (keeper_.EdgeMs() - entry->saved_edge_ms > kSeenMsMax) {
    Save(entry);
  }
  Leave(entry);
}

void Worker::WhenCommitted(std::function<void()> reached) {
  const uint64_t ticket = next_barrier_++;
  const uint32_t commits = batcher_.AddBarrier(kBarrier, ticket);
  if (commits == 0) return reached();
  barriers_.emplace(ticket, Barrier{.commits = commits, .reached = std::move(reached)});
}

bool Worker::TakeBarrier(const AppendBatcher::Receipt& receipt) {
  if (receipt.session != kBarrier) return false;
  const auto it = barriers_.find(receipt.first_ticket);
  if (it == barriers_.end() || --it->second.commits > 0) return true;
  const std::function<void()> reached = std::move(it->second.reached);
  barriers_.erase(it);
  reached();
  return true;
}

std::shared_ptr<Session> Worker::Find(uint64_t id) const {
  const auto it = sessions_.find(id);
  return it == sessions_.end() ? nullptr : it->second;
}

std::vector<std::shared_ptr<Session>> Worker::All() const {
  std::vector<std::shared_ptr<Session>> all;
  all.reserve(sessions_.size());
  for (const auto& [id, session] : sessions_) all.push_back(session);
  return all;
}

void Worker::OnCommitted(const std::vector<AppendBatcher::Receipt>& receipts) {
  uint64_t count = 0;
  for (const AppendBatcher::Receipt& receipt : receipts) {
    if (TakeBarrier(receipt)) continue;
    count += receipt.count;
    // A session that is gone: its client recognises by DUP what was stored (P3).
    if (const auto session = Find(receipt.session); session != nullptr) {
      session->OnCommitted(receipt.first_ticket, receipt.count);
    }
  }
  // A block has a few receipts, many of one session: one write each is what is wanted.
  uint64_t last = 0;
  for (const AppendBatcher::Receipt& receipt : receipts) {
    if (receipt.session == last) continue;
    last = receipt.session;
    if (const auto session = Find(receipt.session); session != nullptr) {
      session->Flush();
      // It may have stopped for its own limit only.
      session->Resume();
    }
  }
  metrics_.Acknowledged(count);
  keeper_.Committed(batcher_.TakeCommittedBytes());
  ResumePaused();
  TellIfIdle();
}

void Worker::ResumePaused() {
  if (!paused_.load(std::memory_order_relaxed)) return;
  if (batcher_.pending_bytes() > static_cast<size_t>(options_.pending_bytes_max) / kResumeFraction) return;
  paused_ = false;
  for (const auto& session : All()) session->Resume();
}

void Worker::OnRefused(const std::vector<AppendBatcher::Receipt>& receipts, const absl::Status& status) {
  for (const AppendBatcher::Receipt& receipt : receipts) {
    if (TakeBarrier(receipt)) continue;
    if (const auto session = Find(receipt.session); session != nullptr) {
      session->Close(CloseReason::kStoreRefused, Text(status));
    }
  }
  // What was remembered as on its way there is not: nobody may be told that it is (P1).
  for (const auto& [client_id, entry] : clients_) entry->client.window.Clear();
  ResumePaused();
  TellIfIdle();
}

void Worker::TellIfIdle() {
  if (on_idle_ && batcher_.pending_bytes() == 0) std::exchange(on_idle_, nullptr)();
}

void Worker::FlushSoon() {
  if (batcher_.pending_bytes() >= static_cast<size_t>(options_.pending_bytes_max)) paused_ = true;
  if (flush_posted_) return;
  flush_posted_ = true;
  thread_.Post([this] {
    flush_posted_ = false;
    batcher_.Flush();
  });
}

void Worker::Sweep() {
  for (const auto& session : All()) session->CheckTimers();
  ForgetExpired();
  if (++sweeps_ % kSweepsToSave == 0) SaveThoseLongConnected();
  if (batcher_.Waiting() > kAppendStall) keeper_.Hurry();
  const size_t pending = batcher_.pending_bytes();
  metrics_.PendingBytes(static_cast<double>(pending) - static_cast<double>(pending_shown_));
  pending_shown_ = pending;
  thread_.PostAfter(kSweepInterval, [this] { Sweep(); });
}

void Worker::TakenOver(const std::string& client_id, const std::string& connection) {
  WithSession(client_id, [this, connection](Session* session) {
    if (session == nullptr || ConnectionName(*session) != connection) return;
    session->Close(CloseReason::kTakenOver, "the same client connected to another router");
  });
}

void Worker::SetRoutes(std::shared_ptr<const Routes> routes) {
  thread_.Post([this, routes = std::move(routes)] {
    routes_ = routes;
    batcher_.DropIdleLanes();
  });
}

void Worker::WithSession(const std::string& client_id, std::function<void(Session*)> use) {
  thread_.Post([this, client_id, use = std::move(use)] {
    const auto it = clients_.find(client_id);
    const auto session = it == clients_.end() ? nullptr : Find(it->second->client.session);
    use(session.get());
  });
}

void Worker::Drop(const IdentityChanges::Drop& drop, std::shared_ptr<void> done) {
  thread_.Post([this, drop, done = std::move(done)] {
    for (const auto& session : All()) {
      const bool holds = session->identity_version() >= drop.holds_from && session->identity_version() != 0;
      const bool rests_on_it =
          std::ranges::any_of(session->links(), [&](const auto& link) { return drop.Means(link); });
      if ((rests_on_it || drop.Means(session->identity())) && !holds) {
        session->Close(CloseReason::kIdentity, drop.reason);
      }
    }
    if (!drop.removed) return;
    std::vector<ClientEntry*> gone;
    for (const auto& [client_id, entry] : clients_) {
      const size_t slash = std::min(client_id.find('/'), client_id.size());
      const Identity identity{client_id.substr(0, slash), slash == client_id.size() ? "" : client_id.substr(slash + 1)};
      if (entry->client.session == 0 && drop.Means(identity)) gone.push_back(entry.get());
    }
    for (ClientEntry* entry : gone) Forget(entry);
  });
}

void Worker::CheckGrants() {
  thread_.Post([this] {
    for (const auto& session : All()) {
      if (!identities_.Holds(session->identity(), session->links(), session->identity_version())) {
        session->Close(CloseReason::kIdentity, "identity changed");
      }
    }
  });
}

bool Worker::CloseSession(const std::string& client_id) {
  bool found = false;
  thread_.Run([&] {
    const auto it = clients_.find(client_id);
    if (it == clients_.end() || it->second->client.session == 0) return;
    found = true;
    Find(it->second->client.session)->Close(CloseReason::kOperator, "CloseSession was called");
  });
  return found;
}

std::vector<router::v1::Session> Worker::Sessions() {
  std::vector<router::v1::Session> sessions;
  thread_.Run([&] {
    for (const auto& [id, session] : sessions_) sessions.push_back(session->Describe());
  });
  return sessions;
}

void Worker::Stop(absl::Duration grace) {
  if (std::exchange(stopped_, true)) return;
  const auto idle = std::make_shared<std::promise<void>>();
  thread_.Run([&] {
    stopping_ = true;
    for (const auto& session : All()) session->StopReading();
    batcher_.Flush();
    on_idle_ = [idle] { idle->set_value(); };
    TellIfIdle();
  });
  idle->get_future().wait_for(absl::ToChronoNanoseconds(grace));
  std::promise<void> ended;
  std::promise<void> delivered;
  thread_.Run([&] {
    for (const auto& session : All()) session->Close(CloseReason::kShutdown, "the gateway stops");
    batcher_.Stop([&ended] { ended.set_value(); });
    deliveries_.Stop([&delivered] { delivered.set_value(); });
  });
  ended.get_future().wait();
  delivered.get_future().wait();
  thread_.Stop();
}

}  // namespace holdfast::router
