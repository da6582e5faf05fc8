#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "lib/base/clock.h"
#include "lib/base/string_map.h"
#include "services/router/presence.h"
#include "services/router/with_session.h"

namespace holdfast::router {

// Tells modules that subscribed to it who connects and disconnects, and whether the hub can be reached
// (docs/operating.md, "Events for modules"), at QoS 0:
//
//   $holdfast/link                   {"online": true, "since": "2026-11-25T07:00:00Z", "reason": ""}
//   $holdfast/clients/{client id}    {"client": "dev1", "status": "connected", "time": "2026-11-25T07:00:00Z"}
//
// The link's state comes at the subscription, too; of clients only what changes. A module that does not read misses
// events rather than being closed. Thread-safe.
class LifecycleEvents {
 public:
  LifecycleEvents(const Clock* clock, WithSession with_session)
      : clock_(*clock), with_session_(std::move(with_session)) {}

  // On the session's thread, both. `link` is the state now.
  void OnInterests(Session& session, const std::optional<Presence::Link>& link);
  void OnClosed(Session& session);

  void OnClient(const std::string& client_id, const Presence::Client* client);
  void OnLink(const std::optional<Presence::Link>& link);

 private:
  void Tell(const StringSet& clients, const std::string& topic, const std::string& payload);

  const Clock& clock_;
  const WithSession with_session_;
  absl::Mutex mutex_;
  // Client ids of who has subscribed.
  StringSet of_link_ ABSL_GUARDED_BY(mutex_);
  StringSet of_clients_ ABSL_GUARDED_BY(mutex_);
  // Whose coming was told, with the connection: a change of interests is no event.
  StringMap<std::string> there_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::router
