// One Append stream to the store, as calls and callbacks.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "services/router/io_thread.h"

namespace holdfast::router {

// Lives until the stream has ended, however it ends; waits until the store can be reached. Send() and Cancel() on the
// io thread only; the callbacks run there too.
class AppendStream final : public grpc::ClientBidiReactor<store::v1::AppendRequest, store::v1::AppendResponse>,
                           public std::enable_shared_from_this<AppendStream> {
 public:
  using OnResponses = std::function<void(const std::vector<store::v1::AppendResponse>&)>;
  // Exactly once, last.
  using OnEnd = std::function<void(const grpc::Status&)>;

  static std::shared_ptr<AppendStream> Start(const std::shared_ptr<grpc::Channel>& channel, IoThread* thread,
                                             OnResponses on_responses, OnEnd on_end);

  // Sends in the order of calls. Dropped silently once the stream is broken: the end tells.
  void Send(std::shared_ptr<const store::v1::AppendRequest> request) ABSL_LOCKS_EXCLUDED(mutex_);

  // Makes it end.
  void Cancel();

 private:
  AppendStream(IoThread* thread, OnResponses on_responses, OnEnd on_end);

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone(const grpc::Status& status) override;
  void Deliver() ABSL_LOCKS_EXCLUDED(mutex_);

  IoThread* const thread_;
  const OnResponses on_responses_;
  const OnEnd on_end_;
  std::unique_ptr<store::v1::Queues::Stub> stub_;
  grpc::ClientContext context_;
  // Keeps the object alive until OnDone.
  std::shared_ptr<AppendStream> self_;
  // Touched by one pending read only.
  store::v1::AppendResponse reading_;

  absl::Mutex mutex_;
  // Front is being written.
  std::deque<std::shared_ptr<const store::v1::AppendRequest>> writes_ ABSL_GUARDED_BY(mutex_);
  std::vector<store::v1::AppendResponse> arrived_ ABSL_GUARDED_BY(mutex_);
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace holdfast::router
