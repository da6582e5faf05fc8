#include "services/router/lifecycle_events.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "services/router/client_topics.h"
#include "services/router/iso_time.h"
#include "services/router/session.h"

namespace holdfast::router {
namespace {

std::string LinkPayload(const std::optional<Presence::Link>& link) {
  if (!link) return R"({"online":false,"reason":"uplink is not there","since":null})";
  return nlohmann::json{{"online", link->online()},
                        {"since", Iso8601(absl::FromUnixSeconds(link->since().seconds()))},
                        {"reason", link->reason()}}
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

void LifecycleEvents::OnInterests(Session& session, const std::optional<Presence::Link>& link) {
  const Interests& interests = session.interests();
  bool begins = false;
  {
    absl::MutexLock lock(&mutex_);
    if (interests.link_events) {
      begins = of_link_.insert(session.client_id()).second;
    } else {
      of_link_.erase(session.client_id());
    }
    if (interests.client_events) {
      of_clients_.insert(session.client_id());
    } else {
      of_clients_.erase(session.client_id());
    }
  }
  if (begins) session.Send(kLinkTopic, LinkPayload(link));
}

void LifecycleEvents::OnClosed(Session& session) {
  absl::MutexLock lock(&mutex_);
  of_link_.erase(session.client_id());
  of_clients_.erase(session.client_id());
}

void LifecycleEvents::OnClient(const std::string& client_id, const Presence::Client* client) {
  StringSet to;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = there_.find(client_id);
    if (client == nullptr) {
      if (it != there_.end()) there_.erase(it);
    } else {
      if (it != there_.end() && it->second == client->connection()) return;
      there_[client_id] = client->connection();
    }
    to = of_clients_;
  }
  const absl::Time time =
      client == nullptr ? clock_.WallNow() : absl::FromUnixSeconds(client->connected_at().seconds());
  const nlohmann::json payload = {
      {"client", client_id}, {"status", client == nullptr ? "disconnected" : "connected"}, {"time", Iso8601(time)}};
  Tell(to, fmt::format("{}{}", kClientEventsTopic, client_id), payload.dump());
}

void LifecycleEvents::OnLink(const std::optional<Presence::Link>& link) {
  StringSet to;
  {
    absl::MutexLock lock(&mutex_);
    to = of_link_;
  }
  Tell(to, std::string(kLinkTopic), LinkPayload(link));
}

void LifecycleEvents::Tell(const StringSet& clients, const std::string& topic, const std::string& payload) {
  for (const std::string& client_id : clients) {
    with_session_(client_id, [topic, payload](Session* session) {
      if (session != nullptr) session->SendIfRoom(topic, payload);
    });
  }
}

}  // namespace holdfast::router
