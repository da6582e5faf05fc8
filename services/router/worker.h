#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "lib/base/string_map.h"
#include "services/router/identity_watch.h"
#include "services/router/io_thread.h"
#include "services/router/session.h"

namespace holdfast::router {

// One io thread with the clients that belong to it: their connections, what is kept of them between connections, and
// their stream to the store. The public functions are thread-safe; everything else happens on the thread.
class Worker {
 public:
  // All must outlive it.
  Worker(const RouterOptions* options, const Routes* routes, const Clock* clock, RouterMetrics* metrics,
         const IdentityChanges* identities, rpc::Channels* store, size_t workers);
  ~Worker();

  IoThread& thread() { return thread_; }

  // Takes over a connection whose CONNECT was accepted; a connected session of the same client ends.
  void Adopt(std::shared_ptr<AcceptedConnection> connection);

  // Ends the sessions of an identity whose grant does not hold any more.
  void Drop(const IdentityChanges::Drop& drop);
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
  };

  // A client that is gone while messages of it may be on their way to the store: it comes back to this thread until
  // they are committed, so that newer ones can't overtake them.
  struct Leaving {
    std::unique_ptr<HomeThreads::Home> home;
    uint32_t commits = 0;
  };

  void AdoptNow(AcceptedConnection connection);
  ClientEntry* PrepareClient(AcceptedConnection* connection, bool* session_present);
  void OnCommitted(const std::vector<AppendBatcher::Receipt>& receipts);
  void OnRefused(const std::vector<AppendBatcher::Receipt>& receipts, const absl::Status& status);
  void OnClosed(uint64_t id);
  void Forget(ClientEntry* entry);
  void ReleaseWhenCommitted(std::unique_ptr<HomeThreads::Home> home);
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
  IoThread thread_;
  std::vector<char> read_buffer_;
  AppendBatcher batcher_;
  const SessionContext context_;

  absl::flat_hash_map<uint64_t, std::shared_ptr<Session>> sessions_;
  StringMap<std::unique_ptr<ClientEntry>> clients_;
  // Clients that are away, in the order in which they left.
  absl::btree_map<uint64_t, ClientEntry*> kept_order_;
  // By the ticket of their barrier.
  absl::flat_hash_map<uint64_t, Leaving> leaving_;
  uint64_t next_barrier_ = 1;
  uint64_t next_session_ = 1;
  uint64_t next_left_ = 1;
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
