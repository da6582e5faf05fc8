#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "holdfast/presence/v1/presence.pb.h"
#include "lib/base/string_map.h"
#include "lib/kv/key_watch.h"
#include "lib/rpc/channel.h"

namespace holdfast::router {

// Entries of a router that died are gone after so long.
inline constexpr absl::Duration kPresenceLease = absl::Seconds(10);

// Who is there: says so of this router's clients in the store (presence/clients/<client id>, with a lease that is this
// router's), and knows it of all routers' and of the link. What a router writes is level-triggered: whatever is lost or
// undone (a lease that ended, a store that restarted) is written again. A client that connects to another router has
// been taken over from this one. Thread-safe.
class Presence {
 public:
  using Client = presence::v1::ClientPresence;
  using Link = presence::v1::LinkPresence;

  struct Events {
    // A client of this router connected to another one: the connection here must be closed.
    std::function<void(const std::string& client_id, const std::string& connection)> on_taken_over;
    // A client of any router came, changed, or went (nullptr). Not while the list is read at the start or after a break
    // of the store's watch, except for what differs.
    std::function<void(const std::string& client_id, const Client* client)> on_client;
    // Nullopt: uplink is not there.
    std::function<void(const std::optional<Link>& link)> on_link;
  };

  // `store` must outlive it. Events come on threads of its own, one at a time, from Start() to Stop().
  Presence(rpc::Channels* store, std::string instance);
  ~Presence() { Stop(); }

  void Start(Events events);
  // Takes this router's entries back, within a second. Idempotent.
  void Stop();

  // A session of this router has begun, or waits for other things now. `client.connection` names the session; the
  // instance is added here.
  void Set(const std::string& client_id, Client client);
  // That session has ended. A later one of the same client is not touched.
  void Remove(const std::string& client_id, const std::string& connection);

  std::optional<Client> Find(std::string_view client_id) const;
  std::optional<Link> link() const;
  const std::string& instance() const { return instance_; }

 private:
  struct Own {
    Client client;
    // The watch has shown it, so that another one's entry that comes now is a later one.
    bool seen = false;
  };
  struct Observed {
    Client client;
    uint64_t revision = 0;
  };
  // What to tell when no lock is held.
  struct News {
    // Client id and connection.
    std::vector<std::pair<std::string, std::string>> taken_over;
    std::vector<std::pair<std::string, std::optional<Client>>> clients;
    bool link = false;
  };

  void OnUpdate(const kv::KeyWatch::Update& update);
  void Take(const store::v1::Change& change, News* news) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeClient(const std::string& client_id, const store::v1::Change& change, News* news)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What the list did not show any more.
  void EndReset(News* news) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Vanished(const std::string& client_id, News* news) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !dirty_.empty() || !orphans_.empty(); }
  void Run();
  // All three: false if it did not succeed and is to be tried again after a while.
  bool KeepLease();
  bool WriteOwn();
  bool DeleteOrphans();
  void LoseLease();
  absl::Status Write(const store::v1::WriteRequest& request);
  // Runs a call so that Stop() ends it.
  absl::Status Call(const std::function<grpc::Status(store::v1::KeyValue::Stub*, grpc::ClientContext*)>& call);

  rpc::Channels* const store_;
  const std::string instance_;
  Events events_;
  // Of the writing thread only.
  uint64_t lease_ = 0;
  absl::Time keep_at_ = absl::InfinitePast();

  mutable absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  StringMap<Own> own_ ABSL_GUARDED_BY(mutex_);
  StringMap<Observed> observed_ ABSL_GUARDED_BY(mutex_);
  // While a list is read: what was observed before and was not in it yet.
  StringMap<Observed> before_ ABSL_GUARDED_BY(mutex_);
  bool in_list_ ABSL_GUARDED_BY(mutex_) = false;
  bool link_in_list_ ABSL_GUARDED_BY(mutex_) = false;
  // The first list was read.
  bool listed_ ABSL_GUARDED_BY(mutex_) = false;
  // Entries of this router's that nobody holds any more, with their revision.
  StringMap<uint64_t> orphans_ ABSL_GUARDED_BY(mutex_);
  // Of own_: not written yet, or lost.
  StringSet dirty_ ABSL_GUARDED_BY(mutex_);
  grpc::ClientContext* call_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::optional<Link> link_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;
  std::unique_ptr<kv::KeyWatch> watch_;
};

}  // namespace holdfast::router
