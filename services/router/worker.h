#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "holdfast/router/v1/stored.pb.h"
#include "lib/base/string_map.h"
#include "services/router/identity_watch.h"
#include "services/router/io_thread.h"
#include "services/router/lifecycle_events.h"
#include "services/router/presence.h"
#include "services/router/session.h"
#include "services/router/session_keeper.h"

namespace holdfast::router {

// What the store knows of when a client was last seen may be so old.
inline constexpr uint64_t kSeenMsMax = 3600 * 1000;

// One io thread with the clients that belong to it: their connections, what is kept of them between connections, and
// their stream to the store. The public functions are thread-safe; everything else happens on the thread.
class Worker {
 public:
  // All must outlive it.
  struct Parts {
    const RouterOptions& options;
    std::shared_ptr<const Routes> routes;
    const Clock& clock;
    RouterMetrics& metrics;
    const IdentityChanges& identities;
    SessionKeeper& keeper;
    rpc::Channels& store;
    MethodCalls& methods;
    TwinRequests& twins;
    Presence& presence;
    LifecycleEvents& events;
    // Different for each worker, over restarts too.
    std::string name;
    // Of the router.
    std::string instance;
    // How many of them there are.
    size_t workers;
  };
  explicit Worker(const Parts& parts);
  ~Worker();

  IoThread& thread() { return thread_; }

  // Takes over a connection whose CONNECT was accepted; a connected session of the same client ends.
  void Adopt(std::shared_ptr<AcceptedConnection> connection);

  // A client as it was kept; in the order in which they were last seen, and before Adopt.
  void Restore(std::shared_ptr<KeptSession> kept, std::unique_ptr<HomeThreads::Home> home);
  // Another router wrote (nullopt: deleted) the session of a client, which is or was connected there. `home`: of the
  // client.
  void Learn(std::string client_id, std::optional<v1::StoredSession> stored, std::unique_ptr<HomeThreads::Home> home);
  void TakeSnapshot(std::function<void(SessionKeeper::Snapshot)> done);

  // Ends that connection (ClientPresence.connection), if it is still there.
  void TakenOver(const std::string& client_id, const std::string& connection);
  // For messages that come from now on.
  void SetRoutes(std::shared_ptr<const Routes> routes);

  // As the type WithSession says.
  void WithSession(const std::string& client_id, std::function<void(Session*)> use);

  // Ends the sessions of an identity whose grant does not hold any more; then lets go of `done`.
  void Drop(const IdentityChanges::Drop& drop, std::shared_ptr<void> done);
  // Looks at every session's grant.
  void CheckGrants();

  // Both wait for the thread. False: no such session.
  bool CloseSession(const std::string& client_id);
  std::vector<router::v1::Session> Sessions();

  size_t session_count() const { return session_count_.load(std::memory_order_relaxed); }
  // True while sockets are not read since the store does not keep up.
  bool paused() const { return paused_.load(std::memory_order_relaxed); }

  // Stops reading, waits up to `grace` for what is being committed, acknowledges it, closes. Idempotent.
  void Stop(absl::Duration grace);

 private:
  struct ClientEntry {
    Client client;
    std::string client_id;
    // Position in kept_order_ while away.
    uint64_t left_at = 0;
    // By the store's edge clock: when it went, and what the store was told last; 0 = it was told nothing.
    uint64_t left_edge_ms = 0;
    uint64_t saved_edge_ms = 0;
    // It has a session that may be present. False: only messages of it are known.
    bool known = false;
    // Of what another router wrote, that was taken in.
    uint64_t foreign_seen_ms = 0;
    // What another router wrote of it later than this one; it is not for this router to delete.
    std::optional<v1::StoredSession> foreign;
    // Of client.open_ids: a later one makes an earlier one void.
    uint64_t open_barrier = 0;
  };

  struct Barrier {
    uint32_t commits = 0;
    std::function<void()> reached;
  };

  void AdoptNow(AcceptedConnection connection);
  ClientEntry* PrepareClient(AcceptedConnection* connection, bool* session_present);
  void OnCommitted(const std::vector<AppendBatcher::Receipt>& receipts);
  void OnRefused(const std::vector<AppendBatcher::Receipt>& receipts, const absl::Status& status);
  // What a session waits for is, or has become, another one; it ends.
  void OnInterests(Session& session);
  std::string ConnectionName(const Session& session) const;
  void OnClosing(Session& session);
  void OnClosed(uint64_t id);
  void Forget(ClientEntry* entry);
  // `kept_order_` and all that has to do with a client's being away.
  void Leave(ClientEntry* entry);
  // Puts what another router knows of the client in the place of what was known here.
  void Move(ClientEntry* entry);
  void Save(ClientEntry* entry, std::function<void()> done = nullptr);
  void SaveThoseLongConnected();
  void ForgetExpired();
  // Calls it when all that was added so far is committed or refused: at once, or later.
  void WhenCommitted(std::function<void()> reached);
  // Takes a receipt that is no session's. False: it is one.
  bool TakeBarrier(const AppendBatcher::Receipt& receipt);
  void FlushSoon();
  void ResumePaused();
  void TellIfIdle();
  void Sweep();
  std::shared_ptr<Session> Find(uint64_t id) const;
  std::vector<std::shared_ptr<Session>> All() const;

  const RouterOptions& options_;
  const size_t kept_max_;
  RouterMetrics& metrics_;
  const IdentityChanges& identities_;
  SessionKeeper& keeper_;
  Presence& presence_;
  LifecycleEvents& events_;
  const std::string name_;
  const std::string instance_;
  IoThread thread_;
  std::shared_ptr<const Routes> routes_;
  std::vector<char> read_buffer_;
  AppendBatcher batcher_;
  Deliveries deliveries_;
  const SessionContext context_;

  absl::flat_hash_map<uint64_t, std::shared_ptr<Session>> sessions_;
  StringMap<std::unique_ptr<ClientEntry>> clients_;
  // Clients that are away, in the order in which they left.
  absl::btree_map<uint64_t, ClientEntry*> kept_order_;
  // By the ticket of their barrier.
  absl::flat_hash_map<uint64_t, Barrier> barriers_;
  uint64_t next_barrier_ = 1;
  uint64_t next_session_ = 1;
  uint64_t next_left_ = 1;
  uint64_t sweeps_ = 0;
  bool flush_posted_ = false;
  bool stopping_ = false;
  std::function<void()> on_idle_;  // called once, when nothing is being committed any more
  bool stopped_ = false;
  size_t pending_shown_ = 0;
  size_t read_ahead_bytes_ = 0;

  std::atomic<size_t> session_count_ = 0;
  std::atomic<bool> paused_ = false;
};

}  // namespace holdfast::router
