#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "lib/iothub/user_name.h"
#include "lib/rpc/channel.h"

namespace grpc {
class ClientContext;
}

namespace holdfast::router {

using iothub::Identity;

// The beginning and the end of queues for clients (lib/record/queue_names.h): the ones that routes lead to drop their
// oldest messages when they are full, so that a module that is away never holds up anybody's PUBACK; and those of an
// identity that is gone are deleted. One call after the other, tried until the store answers. Thread-safe.
class ClientQueues {
 public:
  // `store` must outlive it. `bytes_max`: of each queue.
  ClientQueues(rpc::Channels* store, int64_t bytes_max);
  ~ClientQueues() { Stop(); }

  // `ttl_seconds`: of messages whose route says nothing; 0 = the store's own, -1 = for ever.
  void Configure(const std::vector<std::string>& queues, int32_t ttl_seconds);
  // `with_modules`: those of its modules too.
  void Delete(const Identity& identity, bool with_modules);
  // What is not done is left undone. Idempotent.
  void Stop();

 private:
  using Job = std::function<absl::Status()>;

  void Add(Job job);
  void Run();
  absl::Status ConfigureOne(const std::string& queue, int32_t ttl_seconds);
  absl::Status DeleteOne(const std::string& queue);
  absl::Status DeleteAll(const std::string& prefix);
  // Calls with a context that Stop() cancels.
  absl::Status Call(const std::function<absl::Status(grpc::ClientContext*)>& call);

  rpc::Channels* const store_;
  const int64_t bytes_max_;

  absl::Mutex mutex_;
  std::deque<Job> jobs_ ABSL_GUARDED_BY(mutex_);
  grpc::ClientContext* calling_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace holdfast::router
