// MQTT session state in the store: what is read at the start of router, and how it is written.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/string_map.h"
#include "lib/rpc/channel.h"
#include "services/router/dedupe_window.h"

namespace holdfast::router {

inline constexpr std::string_view kSessionKeys = "router/sessions/";
inline constexpr std::string_view kWindowKeys = "router/windows/";
// Holds the messages of a queue back until what router has to know of them is written down elsewhere.
inline constexpr std::string_view kSessionConsumer = "router";
// Bytes of a queue that are read at a start; what lies behind is not recognised when it is sent again.
inline constexpr size_t kReplayBytesMax = 256 << 20;

// What is known of a client that is not connected.
struct KeptSession {
  std::string client_id;
  // Its session is kept. False: only messages of it were found.
  bool known = false;
  std::vector<std::pair<std::string, uint8_t>> subscriptions;
  uint64_t seen_edge_ms = 0;
  // Of the router that wrote it last; "" = it was written by a version that did not say.
  std::string router_instance;
  DedupeWindow window{0};
  // There is more in it than in what is written down of it.
  bool window_changed = false;
};

// Blocking calls, for one thread; Cancel() is for any.
class SessionStore {
 public:
  struct Options {
    std::vector<std::string> queues;
    size_t dedupe_window = 0;
    absl::Duration session_expiry;
  };
  struct QueueState {
    std::string name;
    uint64_t next_sequence = 1;
    std::vector<uint32_t> priorities;
  };
  struct Loaded {
    uint64_t edge_ms = 0;
    // In the order in which the clients were last seen.
    std::vector<KeptSession> sessions;
    // Keys that nobody needs any more.
    std::vector<std::string> expired_keys;
  };

  SessionStore(rpc::Channels* store, Options options) : store_(store), options_(std::move(options)) {}

  // Everything that is kept. Registers the consumer in each queue where it is new. UNAVAILABLE and the like: try again.
  absl::StatusOr<Loaded> Load();
  // The queues that exist.
  absl::StatusOr<std::vector<QueueState>> Queues();
  absl::Status Write(const store::v1::WriteRequest& request);
  // Makes the consumer known in a queue and passes all that is in it; before it uplink's, if that is not known yet:
  // what every consumer has passed is removed, so router must never be the only one.
  absl::Status Register(const std::string& queue);

  // Ends what is being called; from now on everything is CANCELLED.
  void Cancel();

 private:
  using Sessions = StringMap<KeptSession>;
  class Call;

  KeptSession* Find(std::string_view client_id, Sessions* sessions) const;
  absl::StatusOr<uint64_t> EdgeMs();
  absl::Status ForEachEntry(std::string_view prefix, const std::function<void(const store::v1::Entry&)>& take);
  absl::StatusOr<store::v1::Queue> Queue(const std::string& name);
  // Makes a consumer known in a queue; the queue as it is then.
  absl::StatusOr<store::v1::Queue> Introduce(const std::string& name, std::string_view consumer);
  absl::Status IntroduceUplink(const std::string& name);
  // Remembers what lies in a queue behind the consumer's checkpoint.
  absl::Status Replay(const std::string& queue, Sessions* sessions);
  void Take(const store::v1::PullResponse& response, Sessions* sessions) const;

  rpc::Channels* const store_;
  const Options options_;
  absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::router
