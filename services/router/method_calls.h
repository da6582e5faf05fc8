// Direct methods on clients of this gateway (IoT Hub contract: direct methods).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "holdfast/router/v1/router.grpc.pb.h"
#include "lib/base/clock.h"
#include "lib/base/metrics.h"
#include "lib/base/string_map.h"
#include "services/router/method_call.h"
#include "services/router/with_session.h"

namespace holdfast::router {

// Calls under way, from whoever calls to the client and back. A call waits for its client to connect and to subscribe,
// is sent once, and ends with the client's answer, the end of its connection, or a time-out. Clients of other routers
// are called there. Thread-safe.
class MethodCalls {
 public:
  // NOT_FOUND, DEADLINE_EXCEEDED, ABORTED, RESOURCE_EXHAUSTED, INVALID_ARGUMENT, UNAVAILABLE: as router.proto says.
  using Done = std::function<void(absl::StatusOr<v1::InvokeMethodResponse>)>;
  // Where a client that is not connected here can be called: a channel to its router; null if nowhere.
  using FindElsewhere = std::function<std::shared_ptr<grpc::Channel>(const std::string& client_id)>;

  struct Parts {
    WithSession with_session;
    FindElsewhere find_elsewhere;
    const Clock& clock;
    Metrics& metrics;
  };
  explicit MethodCalls(Parts parts);
  ~MethodCalls() { Stop(); }

  // Calls back exactly once, on any thread, also from within Invoke.
  void Invoke(MethodCall call, Done done);

  // On the session's thread, all three.
  // The client may have begun or ceased to listen to methods (Session::interests()). Called when it has started, too.
  void OnInterests(Session& session);
  // The client published to $iothub/methods/res/{status}/?$rid={rid}; `topic` is all of it.
  void OnResponse(Session& session, std::string_view topic, std::string_view payload);
  void OnClosed(Session& session);

  // A client of another router came or changed what it waits for: calls that wait for it are tried again.
  void OnElsewhere(const std::string& client_id);

  // Answers what is under way; from now on everything is UNAVAILABLE. Waits for what is under way elsewhere.
  // Idempotent.
  void Stop();

 private:
  enum class State : uint8_t { kWaiting, kSent, kElsewhere };
  struct Pending {
    MethodCall call;
    Done done;
    State state = State::kWaiting;
    // SinceBoot() at which the present state is over.
    absl::Duration deadline;
    absl::Duration began;
    // Of the session that it was sent to, on its home thread.
    uint64_t session = 0;
    grpc::ClientContext* context = nullptr;
  };
  struct Remote;

  static absl::Status Check(const MethodCall& call);
  // Sends it if the client is there; else it waits, or ends.
  void Try(uint64_t id);
  void TryOn(uint64_t id, Session* session);
  void Forward(uint64_t id, const std::shared_ptr<grpc::Channel>& channel);
  // Ids of those that wait for this client.
  std::vector<uint64_t> WaitingFor(std::string_view client_id) ABSL_LOCKS_EXCLUDED(mutex_);
  void End(uint64_t id, absl::StatusOr<v1::InvokeMethodResponse> result) ABSL_LOCKS_EXCLUDED(mutex_);
  void WatchDeadlines();

  const Parts parts_;
  prometheus::Counter& late_;

  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_);
  // The id is the request id, in hexadecimal.
  absl::btree_map<uint64_t, Pending> pending_ ABSL_GUARDED_BY(mutex_);
  // By client id: how many.
  StringMap<size_t> per_client_ ABSL_GUARDED_BY(mutex_);
  // Something that may end sooner than what WatchDeadlines waits for.
  bool deadlines_changed_ ABSL_GUARDED_BY(mutex_) = false;
  size_t remote_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace holdfast::router
