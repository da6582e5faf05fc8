#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/status.h"

namespace boost::asio {
class io_context;
}

namespace holdfast::uplink {

// Unary gRPC calls for a loop that must not wait: each answer comes back on the io_context's thread. How many are under
// way is the caller's to bound. Thread-safe.
class LoopCalls {
 public:
  using CallId = uint64_t;

  // `io` must outlive it.
  explicit LoopCalls(boost::asio::io_context& io) : io_(io) {}
  // Cancels what is under way and waits for its callbacks; answers that were not given yet never come.
  ~LoopCalls() { Stop(); }
  void Stop();

  // `start` begins the call: start(stub, context, request, response, callback). `done(status, response)` is called on
  // the loop's thread, once, with the status of the call.
  template <typename Service, typename Request, typename Response, typename Start, typename Done>
  CallId Call(const std::shared_ptr<grpc::Channel>& channel, absl::Duration timeout, Request request, Start start,
              Done done) {
    struct Pending {
      grpc::ClientContext context;
      Request request;
      Response response;
      std::unique_ptr<typename Service::Stub> stub;
    };
    const auto pending = std::make_shared<Pending>();
    pending->request = std::move(request);
    pending->stub = Service::NewStub(channel);
    rpc::SetDeadline(&pending->context, timeout);
    const CallId id = Register(&pending->context);
    if (id == 0) return 0;
    start(pending->stub.get(), &pending->context, &pending->request, &pending->response,
          [this, id, pending, done = std::move(done)](const grpc::Status& status) mutable {
            Post([pending, done = std::move(done), result = rpc::FromGrpc(status)]() mutable {
              done(result, std::move(pending->response));
            });
            Unregister(id);
          });
    return id;
  }
  // Its answer comes all the same, CANCELLED unless it was there already.
  void Cancel(CallId id);

 private:
  // 0: stopped.
  CallId Register(grpc::ClientContext* context);
  void Unregister(CallId id);
  void Post(std::function<void()> work);

  boost::asio::io_context& io_;
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  CallId next_ ABSL_GUARDED_BY(mutex_) = 1;
  absl::flat_hash_map<CallId, grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::uplink
