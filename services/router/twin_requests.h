// Twins as clients see them (IoT Hub contract: twin over MQTT).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "holdfast/message/v1/message.pb.h"
#include "holdfast/presence/v1/presence.pb.h"
#include "lib/base/clock.h"
#include "lib/base/string_map.h"
#include "lib/iothub/user_name.h"
#include "lib/kv/key_watch.h"
#include "services/router/desired_pushes.h"
#include "services/router/io_thread.h"
#include "services/router/router_options.h"
#include "services/router/routes.h"
#include "services/router/twin_store.h"
#include "services/router/with_session.h"

namespace holdfast::router {

// Requests that are not answered yet: of one client, of all, and the bytes of all. Above, the answer is 429.
inline constexpr size_t kTwinRequestsPerClientMax = 20;
inline constexpr size_t kTwinRequestsMax = 20'000;
inline constexpr size_t kTwinRequestBytesMax = 16 << 20;
// Clients whose requests are being carried out; the others wait for their turn.
inline constexpr size_t kTwinClientsActiveMax = 64;

// Answers twin requests of clients from the copy in the store, and tells those who subscribed of desired properties
// that have changed. Requests of one client are carried out and answered in their order. Thread-safe.
class TwinRequests {
 public:
  // Where a message about a reported patch that was taken goes (Envelope.kind = KIND_TWIN_CHANGE).
  using RouteTwinChange = std::function<std::vector<Copy>(const message::v1::Envelope& change)>;
  // All must outlive it.
  struct Parts {
    const RouterOptions& options;
    const Clock& clock;
    rpc::Channels& store;
    RouterMetrics& metrics;
    WithSession with_session;
    // The link's state; nullopt = uplink is not there.
    std::function<std::optional<presence::v1::LinkPresence>()> link;
    RouteTwinChange route_change;
  };
  explicit TwinRequests(Parts parts);
  ~TwinRequests() { Stop(); }

  // Begins to follow the twins in the store.
  void Start();

  // On the session's thread, all four.
  // The client may have begun or ceased to wait for desired properties (Session::interests()). Called when it has
  // started, too. What it subscribed to is in force when Session::OnDesiredReady is called.
  void OnInterests(Session& session);
  // `rid` is never empty.
  void OnGet(Session& session, std::string_view rid);
  // `rid` empty: no answer is wanted.
  void OnReportedPatch(Session& session, std::string_view rid, std::string_view patch);
  void OnClosed(Session& session);

  // The link has changed.
  void OnLink(const std::optional<presence::v1::LinkPresence>& link);
  // The identity is no more: nor is its twin.
  void OnRemoved(const iothub::Identity& identity, bool with_modules) { store_.Forget(identity, with_modules); }

  TwinStore& store() { return store_; }

  // What is not answered yet will not be. Idempotent.
  void Stop();

 private:
  struct Request {
    uint64_t session = 0;
    iothub::Identity identity;
    std::string rid;
    // None: GET.
    std::optional<std::string> patch;
    absl::Duration until;  // since boot
    size_t bytes() const { return rid.size() + patch.value_or("").size(); }
  };
  // A client with requests. On the thread.
  struct Client {
    std::deque<Request> requests;
    // The first one is being carried out.
    bool is_active = false;
    bool in_turn = false;
    // The first one waits for the hub's word, no longer than until then (since boot).
    std::optional<absl::Duration> hub_until;
    // It has waited in vain: not again in this session.
    uint64_t waited_session = 0;
    // The latest that has ended.
    uint64_t closed_session = 0;
  };

  void Take(Session& session, std::string_view rid, std::optional<std::string> patch);
  bool Admit(const std::string& client_id, size_t bytes);
  void Add(const std::string& client_id, Request request);
  // The client has something to do now, if any.
  void Wake(const std::string& client_id);
  void TakeTurns();
  void CarryOut(const std::string& client_id, Client* client);
  void AnswerGet(const std::string& client_id, const absl::StatusOr<TwinStore::Stored>& stored);
  bool WaitsForHub(const std::string& client_id, Client* client, const TwinStore::Stored& stored);
  absl::StatusOr<std::vector<store::v1::AppendRequest>> Report(const Request& request, TwinStore::Stored* stored) const;
  // The first request is done: its answer. `query` comes behind the rid.
  void Done(const std::string& client_id, int status, std::string_view query, std::string body);
  void Fail(const std::string& client_id, const absl::Status& status);
  void OnUpdate(const kv::KeyWatch::Update& update);

  const Parts parts_;
  IoThread thread_;
  TwinStore store_;
  DesiredPushes pushes_;
  // On the thread. A client without requests is not in it, unless its session has waited in vain.
  StringMap<Client> clients_;
  std::deque<std::string> turns_;
  size_t active_ = 0;

  absl::Mutex mutex_;
  // Of requests that are not answered yet.
  StringMap<size_t> open_ ABSL_GUARDED_BY(mutex_);
  size_t open_total_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t open_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<kv::KeyWatch> watch_;
  bool stopped_ = false;
};

}  // namespace holdfast::router
