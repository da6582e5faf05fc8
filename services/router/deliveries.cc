#include "services/router/deliveries.h"

#include <utility>
#include <vector>

#include "services/router/session.h"

namespace holdfast::router {
namespace {

constexpr int64_t kLogLinesPerSecond = 5;
// For the last Commits at a stop.
constexpr absl::Duration kStopGrace = absl::Seconds(1);

}  // namespace

Deliveries::Deliveries(const RouterOptions* options, IoThread* thread, rpc::Channels* store, RouterMetrics* metrics)
    : options_(*options), thread_(*thread), store_(*store), metrics_(*metrics), log_limit_(kLogLinesPerSecond) {}

Deliveries::~Deliveries() = default;

ClientFeed* Deliveries::Find(const std::string& client_id) {
  const auto it = feeds_.find(client_id);
  return it == feeds_.end() ? nullptr : it->second.get();
}

void Deliveries::OnInterests(Session& session) {
  // Not in front of the SUBACK: it would be allowed (MQTT 3.1.1, 3.8.4), but not every client copes. It is called then.
  if (session.saving()) return;
  ClientFeed* feed = Find(session.client_id());
  if (session.interests().messages) {
    if (feed == nullptr) {
      const auto made = std::make_shared<ClientFeed>(this, session.identity());
      feed = feeds_.emplace(session.client_id(), made).first->second.get();
    }
    feed->Attach(&session);
  } else if (feed != nullptr) {
    feed->Detach(/*connected=*/true);
  }
}

void Deliveries::OnPuback(Session& session, uint16_t packet_id) {
  if (ClientFeed* const feed = Find(session.client_id()); feed != nullptr) feed->OnPuback(packet_id);
}

void Deliveries::OnWritten(Session& session) {
  if (ClientFeed* const feed = Find(session.client_id()); feed != nullptr) feed->OnWritten();
}

void Deliveries::OnClosed(Session& session) {
  if (ClientFeed* const feed = Find(session.client_id()); feed != nullptr) feed->Detach(/*connected=*/false);
}

void Deliveries::Forget(const std::string& client_id) {
  if (ClientFeed* const feed = Find(client_id); feed != nullptr) feed->Forget();
}

void Deliveries::Held(ClientFeed* feed, size_t before) {
  held_bytes_ += feed->held_bytes() - before;
  if (feed->held_bytes() == 0) {
    if (feed->turn != 0) holders_.erase(std::exchange(feed->turn, 0));
    return;
  }
  if (feed->turn == 0) Progressed(feed);
  while (held_bytes_ > static_cast<size_t>(options_.delivery_bytes_max) && holders_.begin()->second != feed) {
    holders_.begin()->second->Shed();
  }
}

void Deliveries::Progressed(ClientFeed* feed) {
  if (feed->held_bytes() == 0) return;
  if (feed->turn != 0) holders_.erase(feed->turn);
  feed->turn = next_turn_++;
  holders_.emplace(feed->turn, feed);
}

void Deliveries::EraseIfIdle(ClientFeed* feed) {
  if (!feed->idle()) return;
  const auto it = feeds_.find(feed->client_id());
  if (it != feeds_.end() && it->second.get() == feed) feeds_.erase(it);
}

void Deliveries::CallEnded() {
  if (--calls_ == 0 && on_stopped_) std::exchange(on_stopped_, nullptr)();
}

void Deliveries::Stop(std::function<void()> done) {
  std::vector<std::shared_ptr<ClientFeed>> feeds;
  for (const auto& [client_id, feed] : feeds_) feeds.push_back(feed);
  for (const auto& feed : feeds) feed->Stop();
  if (calls_ == 0) return done();
  on_stopped_ = std::move(done);
  thread_.PostAfter(kStopGrace, [feeds = std::move(feeds)] {
    for (const auto& feed : feeds) feed->CancelCommit();
  });
}

}  // namespace holdfast::router
