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
constexpr uint64_t kLeavingBarrier = UINT64_MAX;

}  // namespace

Worker::Worker(const RouterOptions* options, const Routes* routes, const Clock* clock, RouterMetrics* metrics,
               const IdentityChanges* identities, rpc::Channels* store, size_t workers)
    : options_(*options),
      kept_max_(static_cast<size_t>(options->kept_sessions_max) / workers),
      metrics_(*metrics),
      identities_(*identities),
      read_buffer_(kReadBufferBytes),
      batcher_(&thread_, store, metrics->registry(),
               {.on_committed = [this](const auto& receipts) { OnCommitted(receipts); },
                .on_refused = [this](const auto& receipts, const auto& status) { OnRefused(receipts, status); }}),
      context_{.options = *options,
               .routes = *routes,
               .clock = *clock,
               .metrics = *metrics,
               .thread = thread_,
               .batcher = batcher_,
               .read_ahead_bytes = read_ahead_bytes_,
               .read_buffer = read_buffer_,
               .flush_soon = [this] { FlushSoon(); },
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
  if (!identities_.Holds(connection.user.identity, connection.identity_version)) {
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
      "client connected client_id={} peer={} tls={} clean_session={} keep_alive={} session_present={} product={}",
      Printable(entry->client_id), connection.transport->peer(), connection.transport->tls(), connection.clean_session,
      connection.keep_alive_seconds, session_present, Printable(connection.user.client_type));
  const auto session = std::make_shared<Session>(id, std::move(connection), &entry->client, &context_);
  sessions_.emplace(id, session);
  session_count_.store(sessions_.size(), std::memory_order_relaxed);
  metrics_.Sessions(+1);
  session->Start(session_present);
}

Worker::ClientEntry* Worker::PrepareClient(AcceptedConnection* connection, bool* session_present) {
  const std::string client_id = connection->user.identity.ClientId();
  if (const auto it = clients_.find(client_id); it != clients_.end() && it->second->client.session != 0) {
    // Forgets the client, too, if its session was a clean one.
    Find(it->second->client.session)->Close(CloseReason::kTakenOver, "the same client connected again");
  }
  auto it = clients_.find(client_id);
  *session_present = it != clients_.end() && !connection->clean_session;
  if (it == clients_.end()) {
    it = clients_.emplace(client_id, std::make_unique<ClientEntry>()).first;
    it->second->client_id = client_id;
    it->second->client.home = std::move(connection->home);
  }
  connection->home.reset();
  ClientEntry* const entry = it->second.get();
  if (entry->left_at != 0) kept_order_.erase(std::exchange(entry->left_at, 0));
  if (!*session_present) {
    entry->client.subscriptions.clear();
    entry->client.window = DedupeWindow(connection->clean_session ? 0 : static_cast<size_t>(options_.dedupe_window));
  }
  entry->client.kept = !connection->clean_session;
  return entry;
}

void Worker::OnClosed(uint64_t id) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return;
  const std::string client_id = it->second->identity().ClientId();
  sessions_.erase(it);
  session_count_.store(sessions_.size(), std::memory_order_relaxed);
  metrics_.Sessions(-1);
  const auto client = clients_.find(client_id);
  if (client == clients_.end() || client->second->client.session != id) return;
  ClientEntry* const entry = client->second.get();
  entry->client.session = 0;
  if (!entry->client.kept) return Forget(entry);
  entry->left_at = next_left_++;
  kept_order_.emplace(entry->left_at, entry);
  if (kept_order_.size() > kept_max_) {
    ClientEntry* const oldest = kept_order_.begin()->second;
    kept_order_.erase(kept_order_.begin());
    Forget(oldest);
  }
}

void Worker::Forget(ClientEntry* entry) {
  const std::string client_id = entry->client_id;
  ReleaseWhenCommitted(std::move(entry->client.home));
  clients_.erase(client_id);
}

void Worker::ReleaseWhenCommitted(std::unique_ptr<HomeThreads::Home> home) {
  const uint64_t ticket = next_barrier_++;
  const uint32_t commits = batcher_.AddBarrier(kLeavingBarrier, ticket);
  if (commits > 0) leaving_.emplace(ticket, Leaving{.home = std::move(home), .commits = commits});
}

bool Worker::TakeBarrier(const AppendBatcher::Receipt& receipt) {
  if (receipt.session != kLeavingBarrier) return false;
  const auto it = leaving_.find(receipt.first_ticket);
  if (it != leaving_.end() && --it->second.commits == 0) leaving_.erase(it);
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
  const size_t pending = batcher_.pending_bytes();
  metrics_.PendingBytes(static_cast<double>(pending) - static_cast<double>(pending_shown_));
  pending_shown_ = pending;
  thread_.PostAfter(kSweepInterval, [this] { Sweep(); });
}

void Worker::Drop(const IdentityChanges::Drop& drop) {
  thread_.Post([this, drop] {
    for (const auto& session : All()) {
      const Identity& identity = session->identity();
      const bool same = identity == drop.identity;
      const bool its_module = drop.with_modules && identity.device_id == drop.identity.device_id;
      const bool holds = session->identity_version() >= drop.holds_from && session->identity_version() != 0;
      if ((same || its_module) && !holds) session->Close(CloseReason::kIdentity, drop.reason);
    }
  });
}

void Worker::CheckGrants() {
  thread_.Post([this] {
    for (const auto& session : All()) {
      if (!identities_.Holds(session->identity(), session->identity_version())) {
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
  thread_.Run([&] {
    for (const auto& session : All()) session->Close(CloseReason::kShutdown, "the gateway stops");
    batcher_.Stop([&ended] { ended.set_value(); });
  });
  ended.get_future().wait();
  thread_.Stop();
}

}  // namespace holdfast::router
