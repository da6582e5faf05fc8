// A store in memory, for tests: one queue "upstream" with one consumer, dead letters, a key-value space. Serves the
// real API on <run_dir>/store/0.sock. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "holdfast/message/v1/message.pb.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/record/block.h"
#include "lib/rpc/server.h"
#include "services/uplink/fake_key_value.h"

namespace holdfast::uplink {

class FakeStore final {
 public:
  explicit FakeStore(std::string run_dir) : run_dir_(std::move(run_dir)), queues_(this) { Up(); }
  ~FakeStore() { Down(); }

  // As kill -9 and a new start: streams break, what is stored stays.
  void Down() {
    {
      absl::MutexLock lock(&mutex_);
      down_ = true;
    }
    key_value_.SetDown(true);
    server_->Stop(absl::ZeroDuration());
    server_.reset();
  }
  void Up() {
    {
      absl::MutexLock lock(&mutex_);
      down_ = false;
    }
    key_value_.SetDown(false);
    auto server = rpc::Server::Create({.run_dir = run_dir_, .service = "store"}, {&queues_, &key_value_});
    if (!server.ok()) std::abort();
    server_ = *std::move(server);
    server_->SetServing(true);
  }

  void Append(const std::vector<std::string>& records, uint32_t priority = 2'000'000'000) {
    absl::MutexLock lock(&mutex_);
    store::v1::PullResponse block;
    block.set_priority(priority);
    block.set_first_sequence(next_);
    block.set_record_count(static_cast<uint32_t>(records.size()));
    for (const std::string& record : records) AppendRecord(record, block.mutable_records());
    next_ += records.size();
    blocks_.push_back(std::move(block));
  }
  void AppendMessages(int count, const std::string& device = "dev1") {
    std::vector<std::string> records;
    message::v1::Envelope envelope;
    envelope.set_device_id(device);
    for (int i = 0; i < count; ++i) {
      envelope.set_body(std::to_string(appended_++));
      records.push_back(envelope.SerializeAsString());
    }
    Append(records);
  }

  uint64_t committed(uint32_t priority = 2'000'000'000) const {
    absl::MutexLock lock(&mutex_);
    const auto it = committed_.find(priority);
    return it == committed_.end() ? 0 : it->second;
  }
  bool WaitCommitted(uint64_t sequence, absl::Duration timeout = absl::Seconds(20)) const {
    absl::MutexLock lock(&mutex_);
    const auto reached = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      uint64_t highest = 0;
      for (const auto& [priority, at] : committed_) highest = std::max(highest, at);
      return highest >= sequence;
    };
    return mutex_.AwaitWithTimeout(absl::Condition(&reached), timeout);
  }
  std::vector<std::string> dead_letters() const {
    std::vector<std::string> records;
    for (const auto& appended : key_value_.appended("upstream/dead")) records.push_back(appended.record);
    return records;
  }
  int commits() const {
    absl::MutexLock lock(&mutex_);
    return commits_;
  }
  std::string value(const std::string& key) const { return key_value_.value(key).value_or(""); }
  void SetValue(const std::string& key, const std::string& value) { key_value_.Set(key, value); }
  FakeKeyValue& key_value() { return key_value_; }

  static constexpr char kIncarnation[] = "0123456789abcdef";

 private:
  class QueuesService final : public store::v1::Queues::Service {
   public:
    explicit QueuesService(FakeStore* s) : s_(s) {}
    grpc::Status ListQueues(grpc::ServerContext*, const store::v1::ListQueuesRequest*,
                            store::v1::ListQueuesResponse* response) override {
      absl::MutexLock lock(&s_->mutex_);
      if (!s_->exists_) return grpc::Status::OK;
      auto* const queue = response->add_queues();
      queue->set_name("upstream");
      queue->set_incarnation(kIncarnation);
      queue->set_next_sequence(s_->next_);
      auto* const consumer = queue->add_consumers();
      consumer->set_name("uplink");
      uint64_t done = 0;
      for (const auto& [priority, at] : s_->committed_) done = std::max(done, at);
      consumer->set_lag_records(s_->next_ - 1 - done);
      return grpc::Status::OK;
    }
    grpc::Status ConfigureQueue(grpc::ServerContext*, const store::v1::ConfigureQueueRequest*,
                                store::v1::ConfigureQueueResponse*) override {
      absl::MutexLock lock(&s_->mutex_);
      s_->exists_ = true;
      return grpc::Status::OK;
    }
    grpc::Status Commit(grpc::ServerContext*, const store::v1::CommitRequest* request,
                        store::v1::CommitResponse*) override {
      absl::MutexLock lock(&s_->mutex_);
      ++s_->commits_;
      for (const auto& p : request->positions()) {
        if (p.sequence() >= s_->next_) return {grpc::StatusCode::INVALID_ARGUMENT, "past the end"};
        s_->committed_[p.priority()] = std::max(s_->committed_[p.priority()], p.sequence());
      }
      return grpc::Status::OK;
    }
    grpc::Status Pull(grpc::ServerContext* context, const store::v1::PullRequest*,
                      grpc::ServerWriter<store::v1::PullResponse>* writer) override {
      size_t at = 0;
      while (!context->IsCancelled()) {
        store::v1::PullResponse block;
        {
          absl::MutexLock lock(&s_->mutex_);
          const auto ready = [&]() ABSL_SHARED_LOCKS_REQUIRED(s_->mutex_) {
            return s_->down_ || at < s_->blocks_.size();
          };
          s_->mutex_.AwaitWithTimeout(absl::Condition(&ready), absl::Milliseconds(50));
          if (s_->down_) return {grpc::StatusCode::UNAVAILABLE, "down"};
          if (at == s_->blocks_.size()) continue;
          block = s_->blocks_[at++];
          const uint64_t done = s_->committed_[block.priority()];
          if (done >= block.first_sequence() + block.record_count() - 1) continue;
          if (done >= block.first_sequence()) block.set_skip(static_cast<uint32_t>(done - block.first_sequence() + 1));
        }
        if (!writer->Write(block)) break;
      }
      return grpc::Status::OK;
    }

   private:
    FakeStore* const s_;
  };

  const std::string run_dir_;
  QueuesService queues_;
  FakeKeyValue key_value_;
  std::unique_ptr<rpc::Server> server_;

  mutable absl::Mutex mutex_;
  bool down_ = false;
  bool exists_ = false;
  uint64_t next_ = 1;
  int appended_ = 0;
  int commits_ = 0;
  std::vector<store::v1::PullResponse> blocks_;
  std::map<uint32_t, uint64_t> committed_;
};

}  // namespace holdfast::uplink
