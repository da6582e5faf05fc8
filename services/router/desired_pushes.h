#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/time/time.h"
#include "holdfast/store/v1/store.pb.h"
#include "lib/base/string_map.h"
#include "lib/twin/twin_record.h"
#include "services/router/io_thread.h"
#include "services/router/router_metrics.h"
#include "services/router/twin_store.h"
#include "services/router/with_session.h"

namespace holdfast::router {

// Tells sessions that subscribed to it of desired properties that have changed. Of each it holds the desired properties
// that the client has seen, so that whatever the store's watch shows (changes in between may be left out, the same may
// be shown twice), the client gets exactly what brings it from there to what is in force: nothing is missed, nothing
// comes twice. Belongs to one thread and is used on it only.
class DesiredPushes {
 public:
  // A subscription is in force: what changes from now on is told. (Or the store did not answer within `timeout`; it is
  // asked again. Or the subscription has ended.)
  using OnReady = std::function<void(const std::string& client_id, uint64_t session)>;
  // All must outlive it.
  DesiredPushes(IoThread* thread, TwinStore* store, RouterMetrics* metrics, absl::Duration timeout,
                WithSession with_session, OnReady on_ready)
      : thread_(*thread),
        store_(*store),
        metrics_(*metrics),
        timeout_(timeout),
        with_session_(std::move(with_session)),
        on_ready_(std::move(on_ready)) {}

  // The session listens, or does so still. Its client has seen what is in the store when it begins.
  void Begin(const std::string& client_id, uint64_t session);
  // It does not any more. Nothing happens if another session of the client has begun.
  void End(const std::string& client_id, uint64_t session);
  // It has begun and is not in force yet.
  bool IsBeginning(const std::string& client_id) const;

  // What the watch shows.
  void Take(const std::string& client_id, const store::v1::Change& change);

 private:
  struct Subscriber {
    uint64_t session = 0;
    // Tells this subscription from others of the same session.
    uint64_t number = 0;
    bool is_beginning = true;
    bool is_loaded = false;
    // It is being sent something.
    bool is_busy = false;
    // The desired properties only.
    twin::TwinRecord seen;
    uint64_t seen_revision = 0;
    // The latest, if it is later than what was seen.
    twin::TwinRecord latest;
    uint64_t latest_revision = 0;
  };

  Subscriber* Find(const std::string& client_id, uint64_t number);
  void Load(const std::string& client_id, uint64_t number);
  void Loaded(const std::string& client_id, uint64_t number, const absl::StatusOr<TwinStore::Stored>& stored);
  void Push(const std::string& client_id, Subscriber* subscriber);
  void Pushed(const std::string& client_id, uint64_t number, const twin::TwinRecord& record, uint64_t revision,
              bool sent);

  IoThread& thread_;
  TwinStore& store_;
  RouterMetrics& metrics_;
  const absl::Duration timeout_;
  const WithSession with_session_;
  const OnReady on_ready_;
  StringMap<Subscriber> subscribers_;
  uint64_t next_number_ = 1;
};

}  // namespace holdfast::router
