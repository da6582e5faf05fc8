#pragma once

#include <grpcpp/grpcpp.h>

#include <vector>

#include "holdfast/store/v1/store.grpc.pb.h"
#include "services/store/append_stream.h"
#include "services/store/engine.h"
#include "services/store/read_loop.h"

namespace holdfast::store {

// The gRPC face of the engine: checks requests, translates, answers. No call keeps a thread. Thread-safe.
class QueuesService final : public v1::Queues::CallbackService {
 public:
  QueuesService(Engine* engine, ReadLoop* loop) : engine_(engine), loop_(loop) {}

  // Ends the Append streams once what they sent is answered; Pull and Watch streams are the engine's to end.
  void EndStreams(const absl::Status& status) { appends_.EndAll(status); }

  grpc::ServerBidiReactor<v1::AppendRequest, v1::AppendResponse>* Append(grpc::CallbackServerContext* context) override;
  grpc::ServerWriteReactor<v1::PullResponse>* Pull(grpc::CallbackServerContext* context,
                                                   const v1::PullRequest* request) override;
  grpc::ServerUnaryReactor* Peek(grpc::CallbackServerContext* context, const v1::PeekRequest* request,
                                 v1::PeekResponse* response) override;
  grpc::ServerUnaryReactor* Commit(grpc::CallbackServerContext* context, const v1::CommitRequest* request,
                                   v1::CommitResponse* response) override;
  grpc::ServerUnaryReactor* ConfigureQueue(grpc::CallbackServerContext* context,
                                           const v1::ConfigureQueueRequest* request,
                                           v1::ConfigureQueueResponse* response) override;
  grpc::ServerUnaryReactor* ListQueues(grpc::CallbackServerContext* context, const v1::ListQueuesRequest* request,
                                       v1::ListQueuesResponse* response) override;
  grpc::ServerUnaryReactor* Purge(grpc::CallbackServerContext* context, const v1::PurgeRequest* request,
                                  v1::PurgeResponse* response) override;
  grpc::ServerUnaryReactor* DeleteQueue(grpc::CallbackServerContext* context, const v1::DeleteQueueRequest* request,
                                        v1::DeleteQueueResponse* response) override;
  grpc::ServerUnaryReactor* DeleteConsumer(grpc::CallbackServerContext* context,
                                           const v1::DeleteConsumerRequest* request,
                                           v1::DeleteConsumerResponse* response) override;

 private:
  Engine* const engine_;
  ReadLoop* const loop_;
  AppendStreams appends_;
};

// As above, for keys and leases. Thread-safe.
class KeyValueService final : public v1::KeyValue::CallbackService {
 public:
  KeyValueService(Engine* engine, ReadLoop* loop) : engine_(engine), loop_(loop) {}

  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context, const v1::GetRequest* request,
                                v1::GetResponse* response) override;
  grpc::ServerUnaryReactor* Put(grpc::CallbackServerContext* context, const v1::PutRequest* request,
                                v1::PutResponse* response) override;
  grpc::ServerUnaryReactor* Delete(grpc::CallbackServerContext* context, const v1::DeleteRequest* request,
                                   v1::DeleteResponse* response) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context, const v1::ListRequest* request,
                                 v1::ListResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchResponse>* Watch(grpc::CallbackServerContext* context,
                                                     const v1::WatchRequest* request) override;
  grpc::ServerUnaryReactor* Write(grpc::CallbackServerContext* context, const v1::WriteRequest* request,
                                  v1::WriteResponse* response) override;
  grpc::ServerUnaryReactor* GrantLease(grpc::CallbackServerContext* context, const v1::GrantLeaseRequest* request,
                                       v1::GrantLeaseResponse* response) override;
  grpc::ServerUnaryReactor* KeepLease(grpc::CallbackServerContext* context, const v1::KeepLeaseRequest* request,
                                      v1::KeepLeaseResponse* response) override;
  grpc::ServerUnaryReactor* RevokeLease(grpc::CallbackServerContext* context, const v1::RevokeLeaseRequest* request,
                                        v1::RevokeLeaseResponse* response) override;

 private:
  Engine* const engine_;
  ReadLoop* const loop_;
};

// Thread-safe.
class StoreStatusService final : public v1::StoreStatus::CallbackService {
 public:
  explicit StoreStatusService(Engine* engine) : engine_(engine) {}

  grpc::ServerUnaryReactor* GetStoreStatus(grpc::CallbackServerContext* context,
                                           const v1::GetStoreStatusRequest* request,
                                           v1::GetStoreStatusResponse* response) override;

 private:
  Engine* const engine_;
};

}  // namespace holdfast::store
