// The queues of a fake store that clients wait for: a stream follows its queue, a Commit moves a checkpoint.
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "holdfast/message/v1/message.pb.h"
#include "holdfast/store/v1/store.grpc.pb.h"

namespace holdfast::router {

// Thread-safe.
class FakeClientQueues {
 public:
  // Returns the sequence of the first record.
  uint64_t Append(const store::v1::AppendRequest& request);
  // Appends one record of its own block.
  void Put(const std::string& queue, const std::string& record, uint32_t priority = 5);
  void Put(const std::string& queue, const message::v1::Envelope& envelope, uint32_t priority = 5);

  grpc::Status Pull(grpc::ServerContext* context, const store::v1::PullRequest& request,
                    grpc::ServerWriter<store::v1::PullResponse>* writer);
  grpc::Status Commit(grpc::ServerContext* context, const store::v1::CommitRequest& request);
  void Configure(const store::v1::ConfigureQueueRequest& request);
  grpc::Status Delete(const std::string& queue);

  // Ends all streams with UNAVAILABLE.
  void Break();
  // From now on commits are not answered; false lets them go.
  void HoldCommits(bool hold);
  // Answers the next commit with this code.
  void FailNextCommit(grpc::StatusCode code);

  bool Exists(const std::string& queue);
  size_t size(const std::string& queue);
  // 0 = none.
  uint64_t checkpoint(const std::string& queue, uint32_t priority = 5);
  // Commits that were answered well, streams that were begun, streams that are open.
  size_t commits();
  size_t pulls();
  size_t open_pulls();
  std::vector<message::v1::Envelope> Messages(const std::string& queue);
  std::vector<store::v1::AppendRequest> Requests();
  std::map<std::string, store::v1::QueueSettings> Settings();
  std::vector<std::string> Names();

 private:
  struct Record {
    uint32_t priority = 0;
    std::string bytes;
  };
  struct Queue {
    std::string incarnation;
    // Sequences from 1 on.
    std::vector<Record> records;
    std::map<uint32_t, uint64_t> checkpoints;
  };
  Queue& Find(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The next one behind `cursor`, the most urgent first; 0 = none.
  static uint64_t Next(const Queue& queue, std::map<uint32_t, uint64_t>* cursor);

  absl::Mutex mutex_;
  std::map<std::string, Queue> queues_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, store::v1::QueueSettings> settings_ ABSL_GUARDED_BY(mutex_);
  std::vector<store::v1::AppendRequest> requests_ ABSL_GUARDED_BY(mutex_);
  int made_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t breaks_ ABSL_GUARDED_BY(mutex_) = 0;
  bool hold_commits_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::StatusCode fail_commit_ ABSL_GUARDED_BY(mutex_) = grpc::StatusCode::OK;
  size_t commits_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t pulls_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t open_pulls_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace holdfast::router
