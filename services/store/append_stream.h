#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "services/store/engine.h"

namespace holdfast::store {

class AppendStreams;

// One Append call. Reads on while requests are being committed, up to kUnansweredBytesMax of them, and sends the
// answers in the order in which the engine gives them. Lives until gRPC and the engine are both done with it.
class AppendStream final : public grpc::ServerBidiReactor<v1::AppendRequest, v1::AppendResponse>,
                           public std::enable_shared_from_this<AppendStream> {
 public:
  AppendStream(Engine* engine, AppendStreams* streams);

  void Begin();
  // Ends the call once what was received is answered; held requests are given up.
  void End(const absl::Status& status);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void Submit();
  void Answer(uint64_t request_id, size_t bytes, const absl::Status& status, uint64_t first_sequence);
  // Starts what can be started: a write, a read, the end.
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Engine* const engine_;
  AppendStreams* const streams_;
  const uint64_t stream_id_;
  v1::AppendRequest request_;  // by gRPC while reading_, else by OnReadDone
  std::shared_ptr<AppendStream> self_;

  absl::Mutex mutex_;
  std::deque<v1::AppendResponse> answers_ ABSL_GUARDED_BY(mutex_);  // the first one is on its way while writing_
  size_t unanswered_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t unanswered_ ABSL_GUARDED_BY(mutex_) = 0;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool half_closed_ ABSL_GUARDED_BY(mutex_) = false;  // no more requests
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;       // nobody reads the answers
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status end_ ABSL_GUARDED_BY(mutex_);
};

// The open Append calls, so that a stop can end them. Thread-safe.
class AppendStreams {
 public:
  void Add(const std::shared_ptr<AppendStream>& stream);
  void Remove(const AppendStream* stream);
  void EndAll(const absl::Status& status);

 private:
  absl::Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status end_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<AppendStream>> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::store
