// Worker's bookkeeping of clients: those that are connected, those that are away, and what the store is told of them.
#include <utility>

#include "services/router/worker.h"

namespace holdfast::router {
namespace {

Subscriptions SubscriptionsOf(const v1::StoredSession& stored) {
  Subscriptions subscriptions;
  for (const auto& subscription : stored.subscriptions()) {
    subscriptions.emplace_back(subscription.filter(), static_cast<uint8_t>(subscription.qos()));
  }
  return subscriptions;
}

}  // namespace

Worker::ClientEntry* Worker::PrepareClient(AcceptedConnection* connection, bool* session_present) {
  const std::string client_id = connection->user.identity.ClientId();
  if (const auto it = clients_.find(client_id); it != clients_.end() && it->second->client.session != 0) {
    // Forgets the client, too, if its session was a clean one.
    Find(it->second->client.session)->Close(CloseReason::kTakenOver, "the same client connected again");
  }
  auto it = clients_.find(client_id);
  const bool clean = connection->clean_session;
  if (it == clients_.end()) {
    it = clients_.emplace(client_id, std::make_unique<ClientEntry>()).first;
    it->second->client_id = client_id;
    it->second->client.home = std::move(connection->home);
    it->second->client.window = DedupeWindow(static_cast<size_t>(options_.dedupe_window));
  }
  connection->home.reset();
  ClientEntry* const entry = it->second.get();
  if (entry->left_at != 0) kept_order_.erase(std::exchange(entry->left_at, 0));
  *session_present = entry->known && !clean;
  entry->client.kept = !clean;
  if (clean) {
    entry->client.subscriptions.clear();
    entry->client.window = DedupeWindow(0);
    if (std::exchange(entry->saved_edge_ms, 0) != 0 || entry->foreign.has_value()) keeper_.Remove(client_id);
    deliveries_.Forget(client_id);
  } else if (!entry->known || entry->foreign.has_value()) {
    Save(entry);
  }
  entry->foreign.reset();
  entry->known = !clean;
  return entry;
}

void Worker::Restore(std::shared_ptr<KeptSession> kept, std::unique_ptr<HomeThreads::Home> home) {
  thread_.Post([this, kept, home = std::make_shared<std::unique_ptr<HomeThreads::Home>>(std::move(home))] {
    auto entry = std::make_unique<ClientEntry>();
    entry->client_id = kept->client_id;
    entry->client.home = std::move(*home);
    entry->client.window = std::move(kept->window);
    entry->client.window_changed = kept->window_changed;
    entry->client.subscriptions = std::move(kept->subscriptions);
    entry->client.kept = true;
    entry->known = kept->known;
    if (kept->router_instance.empty() || kept->router_instance == instance_) {
      entry->saved_edge_ms = kept->seen_edge_ms;
    } else {
      entry->foreign_seen_ms = kept->seen_edge_ms;
    }
    ClientEntry* const place = entry.get();
    clients_.emplace(kept->client_id, std::move(entry));
    Leave(place);
    place->left_edge_ms = kept->seen_edge_ms;
  });
}

void Worker::Learn(std::string client_id, std::optional<v1::StoredSession> stored,
                   std::unique_ptr<HomeThreads::Home> home) {
  thread_.Post([this, client_id = std::move(client_id), stored = std::move(stored),
                home = std::make_shared<std::unique_ptr<HomeThreads::Home>>(std::move(home))] {
    auto it = clients_.find(client_id);
    if (!stored.has_value()) {
      if (it == clients_.end() || !it->second->foreign.has_value()) return;
      it->second->foreign.reset();
      if (it->second->client.session == 0) Forget(it->second.get());
      return;
    }
    if (it == clients_.end()) {
      it = clients_.emplace(client_id, std::make_unique<ClientEntry>()).first;
      it->second->client_id = client_id;
      it->second->client.home = std::move(*home);
    }
    ClientEntry* const entry = it->second.get();
    entry->foreign = *stored;
    if (entry->client.session != 0) return;  // It has moved, or is about to: OnClosed.
    if (entry->left_at != 0) kept_order_.erase(std::exchange(entry->left_at, 0));
    Move(entry);
    Leave(entry);
  });
}

void Worker::Move(ClientEntry* entry) {
  Client& client = entry->client;
  entry->known = client.kept = true;
  // Not this router's any more: nothing of it is deleted when it is forgotten here.
  entry->saved_edge_ms = 0;
  const Subscriptions subscriptions = SubscriptionsOf(*entry->foreign);
  // Read at the start, with the window, and listed again by the watch.
  if (entry->foreign_seen_ms == entry->foreign->seen_edge_milliseconds() && client.subscriptions == subscriptions)
    return;
  entry->foreign_seen_ms = entry->foreign->seen_edge_milliseconds();
  client.subscriptions = subscriptions;
  // Its messages went through another router since: what was recognised here would be taken for what it is not.
  client.window = DedupeWindow(static_cast<size_t>(options_.dedupe_window));
  client.window_changed = false;
  deliveries_.Forget(entry->client_id);
}

void Worker::Leave(ClientEntry* entry) {
  entry->left_at = next_left_++;
  entry->left_edge_ms = keeper_.EdgeMs();
  kept_order_.emplace(entry->left_at, entry);
  if (kept_order_.size() > kept_max_) Forget(kept_order_.begin()->second);
}

void Worker::Forget(ClientEntry* entry) {
  const std::string client_id = entry->client_id;
  if (entry->left_at != 0) kept_order_.erase(entry->left_at);
  if (entry->saved_edge_ms != 0) keeper_.Remove(client_id);
  deliveries_.Forget(client_id);
  // Messages of it may be on their way to the store: it comes back to this thread until they are committed, so that
  // newer ones can't overtake them.
  WhenCommitted([home = std::shared_ptr<HomeThreads::Home>(std::move(entry->client.home))] {});
  clients_.erase(client_id);
}

void Worker::ForgetExpired() {
  const auto expiry_ms = static_cast<uint64_t>(absl::ToInt64Milliseconds(options_.session_expiry));
  const uint64_t now = keeper_.EdgeMs();
  while (!kept_order_.empty() && kept_order_.begin()->second->left_edge_ms + expiry_ms < now) {
    Forget(kept_order_.begin()->second);
  }
}

void Worker::Save(ClientEntry* entry, std::function<void()> done) {
  entry->saved_edge_ms = keeper_.EdgeMs();
  entry->foreign.reset();
  entry->foreign_seen_ms = 0;
  v1::StoredSession stored;
  for (const auto& [filter, qos] : entry->client.subscriptions) {
    v1::StoredSession::Subscription* const subscription = stored.add_subscriptions();
    subscription->set_filter(filter);
    subscription->set_qos(qos);
  }
  stored.set_seen_edge_milliseconds(entry->saved_edge_ms);
  stored.set_router_instance(instance_);
  keeper_.Save(entry->client_id, stored, std::move(done));
}

void Worker::SaveThoseLongConnected() {
  const uint64_t now = keeper_.EdgeMs();
  for (const auto& [client_id, entry] : clients_) {
    const bool connected = entry->client.kept && entry->client.session != 0;
    if (connected && now - entry->saved_edge_ms > kSeenMsMax) Save(entry.get());
  }
}

void Worker::TakeSnapshot(std::function<void(SessionKeeper::Snapshot)> done) {
  thread_.Post([this, done = std::move(done)] {
    SessionKeeper::Snapshot snapshot;
    PacketIdSet open(kPacketIds);
    for (const auto& [client_id, entry] : clients_) {
      Client& client = entry->client;
      if (!client.window_changed) continue;
      std::vector<uint16_t> ids = client.open_ids;
      if (const auto session = Find(client.session); session != nullptr) {
        const std::vector<uint16_t> of_session = session->OpenIds();
        ids.insert(ids.end(), of_session.begin(), of_session.end());
      }
      for (const uint16_t id : ids) open[id] = true;
      v1::StoredWindow window;
      for (const uint64_t value : client.window.Save(kStoredWindowMax, open)) window.add_entries(value);
      for (const uint16_t id : ids) open[id] = false;
      snapshot.windows.emplace_back(client_id, std::move(window));
      // What is not committed yet belongs into the next one.
      client.window_changed = !ids.empty();
    }
    snapshot.settled = batcher_.Settled();
    done(std::move(snapshot));
  });
}

}  // namespace holdfast::router
