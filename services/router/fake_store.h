// A store that does as it is told: the queue "upstream", those of clients, and keys, in memory.
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "holdfast/message/v1/message.pb.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "services/router/fake_client_queues.h"

namespace holdfast::router {

// Commits at once, unless told to hold. Thread-safe.
class FakeStore final : public store::v1::Queues::Service {
 public:
  grpc::Status Append(grpc::ServerContext* context,
                      grpc::ServerReaderWriter<store::v1::AppendResponse, store::v1::AppendRequest>* stream) override;
  grpc::Status Pull(grpc::ServerContext* context, const store::v1::PullRequest* request,
                    grpc::ServerWriter<store::v1::PullResponse>* writer) override;
  grpc::Status ListQueues(grpc::ServerContext* context, const store::v1::ListQueuesRequest* request,
                          store::v1::ListQueuesResponse* response) override;
  grpc::Status Commit(grpc::ServerContext* context, const store::v1::CommitRequest* request,
                      store::v1::CommitResponse* response) override;
  grpc::Status ConfigureQueue(grpc::ServerContext* context, const store::v1::ConfigureQueueRequest* request,
                              store::v1::ConfigureQueueResponse* response) override;
  grpc::Status DeleteQueue(grpc::ServerContext* context, const store::v1::DeleteQueueRequest* request,
                           store::v1::DeleteQueueResponse* response) override;
  grpc::Status Peek(grpc::ServerContext* context, const store::v1::PeekRequest* request,
                    store::v1::PeekResponse* response) override;

  // From now on requests arrive and are not answered; false lets them go.
  void Hold(bool hold);
  // Only requests that hold a message with this body are not answered; "" lets them go.
  void HoldBody(std::string body);
  // Answers the next request with this code.
  void FailNext(int code);
  // Requests that wait for an answer.
  size_t held();
  // Ends all streams with UNAVAILABLE; `committed` = what they hold is committed all the same.
  void Break(bool committed);

  // All other queues.
  FakeClientQueues& clients() { return clients_; }

  // What is committed in "upstream", in order.
  std::vector<message::v1::Envelope> Messages();
  std::vector<std::string> Bodies();
  std::vector<store::v1::AppendRequest> Requests();
  // Sequence that the consumer "router" has passed; 0 = none.
  uint64_t checkpoint();

  // Keys and values.
  std::map<std::string, std::string> Content();
  // How often keys were written.
  size_t writes();
  // From now on writes of keys are not answered; false lets them go.
  void HoldWrites(bool hold);
  // The same for Get.
  void HoldGets(bool hold);
  // The next write is committed, and answered UNAVAILABLE.
  void LoseNextAnswer();
  // Before the next write, somebody else puts this.
  void PutBeforeNextWrite(std::string key, std::string value);
  void Put(const std::string& key, std::string value);
  // Ends all watches; those that come are answered from the beginning on. While held, none is answered.
  void BreakWatches();
  void HoldWatches(bool hold);

  std::vector<grpc::Service*> Services() { return {this, &key_value_, &status_}; }

 private:
  class KeyValue final : public store::v1::KeyValue::Service {
   public:
    explicit KeyValue(FakeStore* store) : store_(*store) {}
    grpc::Status List(grpc::ServerContext* context, const store::v1::ListRequest* request,
                      store::v1::ListResponse* response) override;
    grpc::Status Get(grpc::ServerContext* context, const store::v1::GetRequest* request,
                     store::v1::GetResponse* response) override;
    grpc::Status Watch(grpc::ServerContext* context, const store::v1::WatchRequest* request,
                       grpc::ServerWriter<store::v1::WatchResponse>* writer) override;
    grpc::Status Write(grpc::ServerContext* context, const store::v1::WriteRequest* request,
                       store::v1::WriteResponse* response) override;

   private:
    FakeStore& store_;
  };
  class Status final : public store::v1::StoreStatus::Service {
   public:
    grpc::Status GetStoreStatus(grpc::ServerContext* context, const store::v1::GetStoreStatusRequest* request,
                                store::v1::GetStoreStatusResponse* response) override;
  };

  // Returns the sequence of its first record.
  uint64_t Take(const store::v1::AppendRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PutNow(const std::string& key, std::string value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Behind a revision; all that there is if that is 0 or was before the last break.
  store::v1::WatchResponse Changes(const std::string& prefix, uint64_t revision) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  bool hold_ ABSL_GUARDED_BY(mutex_) = false;
  std::string hold_body_ ABSL_GUARDED_BY(mutex_);
  bool commit_on_break_ ABSL_GUARDED_BY(mutex_) = false;
  int fail_next_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t breaks_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t held_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<store::v1::AppendRequest> requests_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> content_ ABSL_GUARDED_BY(mutex_);
  size_t writes_ ABSL_GUARDED_BY(mutex_) = 0;
  // Of each key that there was; and of all.
  std::map<std::string, uint64_t> revisions_ ABSL_GUARDED_BY(mutex_);
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t history_begin_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t watch_breaks_ ABSL_GUARDED_BY(mutex_) = 0;
  bool hold_watches_ ABSL_GUARDED_BY(mutex_) = false;
  bool hold_gets_ ABSL_GUARDED_BY(mutex_) = false;
  bool lose_answer_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, std::string> before_write_ ABSL_GUARDED_BY(mutex_);
  bool hold_writes_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_consumer_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_uplink_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t checkpoint_ ABSL_GUARDED_BY(mutex_) = 0;
  FakeClientQueues clients_;
  KeyValue key_value_{this};
  Status status_;
  std::vector<message::v1::Envelope> messages_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::router
