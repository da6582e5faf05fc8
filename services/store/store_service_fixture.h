// For tests of the store as its callers see it: a store on a directory of its own, over its Unix socket.
#pragma once

#include <grpcpp/health_check_service_interface.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "lib/record/block.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/server.h"
#include "lib/rpc/status.h"
#include "lib/testing/temp_dir.h"
#include "services/store/read_loop.h"
#include "services/store/store_service.h"

namespace holdfast::store {

inline std::string MakeBlock(const std::vector<std::string>& records) {
  std::string block;
  for (const std::string& record : records) AppendRecord(record, &block);
  return block;
}

class StoreServiceTest : public ::testing::Test {
 protected:
  StoreServiceTest() : metrics_(*Metrics::Create("")), channels_(dir_ / "run", "store") { Start(); }
  ~StoreServiceTest() override { Stop(); }

  void Start() {
    Engine::Options options;
    options.data_dir = dir_ / "data";
    options.encryption_key_file = encryption_key_file_;
    loop_ = std::make_unique<ReadLoop>();
    auto engine = Engine::Create(options, metrics_.get());
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    queues_service_ = std::make_unique<QueuesService>(engine_.get(), loop_.get());
    key_value_service_ = std::make_unique<KeyValueService>(engine_.get(), loop_.get());
    status_service_ = std::make_unique<StoreStatusService>(engine_.get());
    auto server = rpc::Server::Create({.run_dir = dir_ / "run", .service = "store"},
                                      {queues_service_.get(), key_value_service_.get(), status_service_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->SetServing(true);
    ASSERT_TRUE(channels_.WaitUntilReady(absl::Seconds(10)).ok());
    queues_ = v1::Queues::NewStub(channels_.Pick());
    key_value_ = v1::KeyValue::NewStub(channels_.Pick());
    status_ = v1::StoreStatus::NewStub(channels_.Pick());
  }
  void Stop() {
    if (server_ == nullptr) return;
    const absl::Status stopping = absl::UnavailableError("the store is stopping; retry");
    queues_service_->EndStreams(stopping);
    engine_->EndStreams(stopping);
    server_->Stop();
    server_.reset();
    engine_.reset();
    loop_.reset();
  }

  struct Context : grpc::ClientContext {
    Context() { rpc::SetDeadline(this, absl::Seconds(20)); }
  };

  static v1::AppendRequest Request(uint64_t id, const std::string& queue, const std::vector<std::string>& records,
                                   bool wait = false) {
    v1::AppendRequest request;
    request.set_request_id(id);
    request.set_queue(queue);
    request.set_priority(kDefaultPriority);
    request.set_record_count(static_cast<uint32_t>(records.size()));
    request.set_records(MakeBlock(records));
    request.set_wait_for_space(wait);
    return request;
  }
  v1::AppendResponse AppendOne(const v1::AppendRequest& request) {
    Context context;
    const auto stream = queues_->Append(&context);
    v1::AppendResponse response;
    EXPECT_TRUE(stream->Write(request));
    EXPECT_TRUE(stream->Read(&response));
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
    return response;
  }
  grpc::Status CommitTo(const std::string& queue, const std::string& consumer, uint64_t sequence) {
    Context context;
    v1::CommitRequest request;
    request.set_queue(queue);
    request.set_consumer(consumer);
    auto* position = request.add_positions();
    position->set_priority(kDefaultPriority);
    position->set_sequence(sequence);
    v1::CommitResponse response;
    return queues_->Commit(&context, request, &response);
  }
  static v1::PullRequest PullOf(const std::string& queue, const std::string& consumer) {
    v1::PullRequest request;
    request.set_queue(queue);
    request.set_consumer(consumer);
    return request;
  }

  TempDir dir_;
  std::string encryption_key_file_;  // used by the next Start()
  std::unique_ptr<Metrics> metrics_;
  rpc::Channels channels_;
  std::unique_ptr<ReadLoop> loop_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<QueuesService> queues_service_;
  std::unique_ptr<KeyValueService> key_value_service_;
  std::unique_ptr<StoreStatusService> status_service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::Queues::Stub> queues_;
  std::unique_ptr<v1::KeyValue::Stub> key_value_;
  std::unique_ptr<v1::StoreStatus::Stub> status_;
};

}  // namespace holdfast::store
