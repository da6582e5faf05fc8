// One Pull stream of a client's queue, as calls and callbacks.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "holdfast/store/v1/store.grpc.pb.h"
#include "services/router/io_thread.h"

namespace holdfast::router {

// Lives until the stream has ended; waits until the store can be reached. Back-pressure: a block is read only when it
// is asked for; what is not read stays in gRPC's window and in the store. So the end of a stream is noticed when a
// block is asked for, or by Cancel. All calls on the io thread; the callbacks run there too.
class PullStream final : public grpc::ClientReadReactor<store::v1::PullResponse>,
                         public std::enable_shared_from_this<PullStream> {
 public:
  // May take what is in it. Not called after Cancel().
  using OnBlock = std::function<void(store::v1::PullResponse& block)>;
  // Exactly once, last.
  using OnEnd = std::function<void(const grpc::Status&)>;

  static std::shared_ptr<PullStream> Start(const std::shared_ptr<grpc::Channel>& channel, IoThread* thread,
                                           const std::string& queue, OnBlock on_block, OnEnd on_end);

  // Asks for the next block. No effect while one is asked for.
  void Read();
  bool reading() const { return reading_; }

  // Makes it end. Idempotent.
  void Cancel();

 private:
  PullStream(IoThread* thread, OnBlock on_block, OnEnd on_end);

  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  void Release();

  IoThread* const thread_;
  const OnBlock on_block_;
  const OnEnd on_end_;
  std::unique_ptr<store::v1::Queues::Stub> stub_;
  grpc::ClientContext context_;
  store::v1::PullRequest request_;
  // Touched by the pending read, or by the io thread when none is.
  store::v1::PullResponse block_;
  // Keeps the object alive until OnDone.
  std::shared_ptr<PullStream> self_;

  // The io thread's.
  bool reading_ = false;
  bool cancelled_ = false;
  // A read may be started: without this, gRPC would end the stream as soon as it is over.
  bool held_ = true;
};

}  // namespace holdfast::router
