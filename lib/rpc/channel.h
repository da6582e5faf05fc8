#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "lib/base/unique_fd.h"

namespace holdfast::rpc {

// Channels to all instances of one service: one gRPC channel a socket in <run_dir>/<service>/, found when asked and
// kept current by inotify, so that a restarted instance is reached at once instead of at the end of a back-off. Between
// attempts gRPC's back-off applies (50 ms to 1 s, jittered). Thread-safe.
class Channels {
 public:
  Channels(std::string run_dir, std::string service);
  ~Channels();

  // A channel to an instance, in turn over those that are ready; over all when none is. Never null, never waits:
  // with no socket there it is a channel to "0.sock" that will connect when it appears.
  std::shared_ptr<grpc::Channel> Pick();

  // A channel to one instance, by name; connects when its socket appears.
  std::shared_ptr<grpc::Channel> To(const std::string& instance);

  // A channel to each instance whose socket is there now, at least one (as Pick()): for what every instance must be
  // told.
  std::vector<std::shared_ptr<grpc::Channel>> All();

  // Waits until some instance is connected. DEADLINE_EXCEEDED with a sentence that names the service and the directory
  // in which its socket should be.
  absl::Status WaitUntilReady(absl::Duration timeout);

  const std::string& directory() const { return directory_; }

 private:
  void Rescan() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WatchLoop();

  const std::string service_;
  const std::string directory_;
  UniqueFd inotify_;
  UniqueFd stop_event_;
  absl::Mutex mutex_;
  absl::btree_map<std::string, std::shared_ptr<grpc::Channel>> channels_ ABSL_GUARDED_BY(mutex_);
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread watcher_;
};

// Deadline `timeout` from now; every unary call gets one.
void SetDeadline(grpc::ClientContext* context, absl::Duration timeout);

// Full-jitter exponential back-off for what gRPC does not retry by itself (streams, calls): a uniformly random time
// between 0 and min(max, initial * 2^n). Seeded from the operating system. Not thread-safe.
class Backoff {
 public:
  Backoff(absl::Duration initial, absl::Duration max) : initial_(initial), max_(max) {}
  absl::Duration Next();
  void Reset() { attempt_ = 0; }

 private:
  const absl::Duration initial_;
  const absl::Duration max_;
  int attempt_ = 0;
};

}  // namespace holdfast::rpc
