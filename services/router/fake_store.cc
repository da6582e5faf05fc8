#include "services/router/fake_store.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "lib/record/block.h"
#include "services/router/routes.h"

namespace holdfast::router {

uint64_t FakeStore::Take(const store::v1::AppendRequest& request) {
  if (request.queue() != kUpstreamQueue) return clients_.Append(request);
  requests_.push_back(request);
  BlockReader reader(request.records());
  uint32_t count = 0;
  while (const auto record = reader.Next()) {
    message::v1::Envelope envelope;
    EXPECT_TRUE(envelope.ParseFromArray(record->data(), static_cast<int>(record->size())));
    messages_.push_back(std::move(envelope));
    ++count;
  }
  EXPECT_EQ(count, request.record_count());
  return messages_.size() - count + 1;
}

grpc::Status FakeStore::Append(grpc::ServerContext* context,
                               grpc::ServerReaderWriter<store::v1::AppendResponse, store::v1::AppendRequest>* stream) {
  store::v1::AppendRequest request;
  uint64_t breaks = 0;
  bool failed = false;
  {
    absl::MutexLock lock(&mutex_);
    breaks = breaks_;
  }
  while (stream->Read(&request)) {
    store::v1::AppendResponse response;
    response.set_request_id(request.request_id());
    {
      absl::MutexLock lock(&mutex_);
      ++held_;
      const auto go_on = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
        const bool hold = hold_ || (!hold_body_.empty() && request.records().find(hold_body_) != std::string::npos);
        return !hold || breaks_ != breaks || context->IsCancelled();
      };
      while (!mutex_.AwaitWithTimeout(absl::Condition(&go_on), absl::Milliseconds(20))) {
      }
      --held_;
      if (breaks_ != breaks) {
        if (commit_on_break_) Take(request);
        return {grpc::StatusCode::UNAVAILABLE, "broken"};
      }
      if (context->IsCancelled()) return grpc::Status::CANCELLED;
      response.set_code(failed ? grpc::StatusCode::UNAVAILABLE : std::exchange(fail_next_, 0));
      // As the store does: nothing overtakes on a stream.
      if (response.code() == grpc::StatusCode::UNAVAILABLE) failed = true;
      if (response.code() == 0) response.set_first_sequence(Take(request));
    }
    if (!stream->Write(response)) break;
  }
  return grpc::Status::OK;
}

grpc::Status FakeStore::Peek(grpc::ServerContext*, const store::v1::PeekRequest* request,
                             store::v1::PeekResponse* response) {
  absl::MutexLock lock(&mutex_);
  for (uint64_t s = std::max<uint64_t>(request->from_sequence(), 1);
       s <= messages_.size() && static_cast<uint32_t>(response->records_size()) < request->limit(); ++s) {
    store::v1::PeekedRecord* record = response->add_records();
    record->set_sequence(s);
    record->set_record(messages_[s - 1].SerializeAsString());
  }
  return grpc::Status::OK;
}

void FakeStore::Hold(bool hold) {
  absl::MutexLock lock(&mutex_);
  hold_ = hold;
}

void FakeStore::HoldBody(std::string body) {
  absl::MutexLock lock(&mutex_);
  hold_body_ = std::move(body);
}

void FakeStore::FailNext(int code) {
  absl::MutexLock lock(&mutex_);
  fail_next_ = code;
}

size_t FakeStore::held() {
  absl::MutexLock lock(&mutex_);
  return held_;
}

void FakeStore::Break(bool committed) {
  absl::MutexLock lock(&mutex_);
  commit_on_break_ = committed;
  ++breaks_;
}

std::vector<message::v1::Envelope> FakeStore::Messages() {
  absl::MutexLock lock(&mutex_);
  return messages_;
}

std::vector<std::string> FakeStore::Bodies() {
  std::vector<std::string> bodies;
  for (const auto& message : Messages()) bodies.push_back(message.body());
  return bodies;
}

std::vector<store::v1::AppendRequest> FakeStore::Requests() {
  absl::MutexLock lock(&mutex_);
  return requests_;
}

grpc::Status FakeStore::ListQueues(grpc::ServerContext*, const store::v1::ListQueuesRequest* request,
                                   store::v1::ListQueuesResponse* response) {
  for (const std::string& name : clients_.Names()) {
    if (name.starts_with(request->prefix())) response->add_queues()->set_name(name);
  }
  absl::MutexLock lock(&mutex_);
  if (!kUpstreamQueue.starts_with(request->prefix())) return grpc::Status::OK;
  if (!has_consumer_ && !has_uplink_ && messages_.empty()) return grpc::Status::OK;
  store::v1::Queue* const queue = response->add_queues();
  queue->set_name(std::string(kUpstreamQueue));
  queue->set_next_sequence(messages_.size() + 1);
  queue->add_lanes()->set_priority(kDefaultPriority);
  if (has_uplink_) queue->add_consumers()->set_name(std::string(kUpstreamConsumer));
  if (!has_consumer_) return grpc::Status::OK;
  store::v1::Consumer* const consumer = queue->add_consumers();
  consumer->set_name("router");
  consumer->set_lag_records(messages_.size() - checkpoint_);
  return grpc::Status::OK;
}

grpc::Status FakeStore::Pull(grpc::ServerContext* context, const store::v1::PullRequest* request,
                             grpc::ServerWriter<store::v1::PullResponse>* writer) {
  if (request->queue() != kUpstreamQueue) return clients_.Pull(context, *request, writer);
  std::vector<store::v1::PullResponse> responses;
  if (request->consumer() == kUpstreamConsumer) {
    // Router makes it known, and no more.
    absl::MutexLock lock(&mutex_);
    has_uplink_ = true;
  } else {
    EXPECT_EQ(request->consumer(), "router");
    absl::MutexLock lock(&mutex_);
    has_consumer_ = true;
    for (uint64_t s = checkpoint_ + 1; s <= messages_.size(); ++s) {
      store::v1::PullResponse& response = responses.emplace_back();
      response.set_first_sequence(s);
      response.set_record_count(1);
      const std::string record = messages_[s - 1].SerializeAsString();
      record.copy(AppendRecordSpace(record.size(), response.mutable_records()), record.size());
    }
  }
  for (const auto& response : responses) writer->Write(response);
  while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(1));
  return grpc::Status::CANCELLED;
}

grpc::Status FakeStore::Commit(grpc::ServerContext* context, const store::v1::CommitRequest* request,
                               store::v1::CommitResponse*) {
  return clients_.Commit(context, *request);
}

grpc::Status FakeStore::ConfigureQueue(grpc::ServerContext*, const store::v1::ConfigureQueueRequest* request,
                                       store::v1::ConfigureQueueResponse*) {
  clients_.Configure(*request);
  return grpc::Status::OK;
}

grpc::Status FakeStore::DeleteQueue(grpc::ServerContext*, const store::v1::DeleteQueueRequest* request,
                                    store::v1::DeleteQueueResponse*) {
  return clients_.Delete(request->queue());
}

uint64_t FakeStore::checkpoint() {
  absl::MutexLock lock(&mutex_);
  return checkpoint_;
}

std::map<std::string, std::string> FakeStore::Content() {
  absl::MutexLock lock(&mutex_);
  return content_;
}

size_t FakeStore::writes() {
  absl::MutexLock lock(&mutex_);
  return writes_;
}

void FakeStore::HoldWrites(bool hold) {
  absl::MutexLock lock(&mutex_);
  hold_writes_ = hold;
}

void FakeStore::HoldGets(bool hold) {
  absl::MutexLock lock(&mutex_);
  hold_gets_ = hold;
}

void FakeStore::LoseNextAnswer() {
  absl::MutexLock lock(&mutex_);
  lose_answer_ = true;
}

void FakeStore::PutBeforeNextWrite(std::string key, std::string value) {
  absl::MutexLock lock(&mutex_);
  before_write_[std::move(key)] = std::move(value);
}

void FakeStore::Put(const std::string& key, std::string value) {
  absl::MutexLock lock(&mutex_);
  PutNow(key, std::move(value));
}

void FakeStore::PutNow(const std::string& key, std::string value) {
  content_[key] = std::move(value);
  revisions_[key] = ++revision_;
}

void FakeStore::BreakWatches() {
  absl::MutexLock lock(&mutex_);
  ++watch_breaks_;
  history_begin_ = revision_ + 1;
}

void FakeStore::HoldWatches(bool hold) {
  absl::MutexLock lock(&mutex_);
  hold_watches_ = hold;
}

store::v1::WatchResponse FakeStore::Changes(const std::string& prefix, uint64_t revision) {
  store::v1::WatchResponse response;
  response.set_reset(revision == 0 || revision + 1 < history_begin_);
  response.set_revision(revision_);
  for (const auto& [key, changed] : revisions_) {
    const auto it = content_.find(key);
    if (!key.starts_with(prefix) || (!response.reset() && changed <= revision)) continue;
    if (it == content_.end() && response.reset()) continue;
    store::v1::Change* const change = response.add_changes();
    change->mutable_entry()->set_key(key);
    change->mutable_entry()->set_revision(changed);
    change->set_deleted(it == content_.end());
    if (it != content_.end()) change->mutable_entry()->set_value(it->second);
  }
  return response;
}

grpc::Status FakeStore::KeyValue::Get(grpc::ServerContext* context, const store::v1::GetRequest* request,
                                      store::v1::GetResponse* response) {
  absl::MutexLock lock(&store_.mutex_);
  const auto go_on = [&]() ABSL_SHARED_LOCKS_REQUIRED(store_.mutex_) {
    return !store_.hold_gets_ || context->IsCancelled();
  };
  while (!store_.mutex_.AwaitWithTimeout(absl::Condition(&go_on), absl::Milliseconds(20))) {
  }
  const auto it = store_.content_.find(request->key());
  if (it == store_.content_.end()) return {grpc::StatusCode::NOT_FOUND, "no such key"};
  response->mutable_entry()->set_key(it->first);
  response->mutable_entry()->set_value(it->second);
  response->mutable_entry()->set_revision(store_.revisions_[it->first]);
  return grpc::Status::OK;
}

grpc::Status FakeStore::KeyValue::Watch(grpc::ServerContext* context, const store::v1::WatchRequest* request,
                                        grpc::ServerWriter<store::v1::WatchResponse>* writer) {
  uint64_t sent = request->from_revision() == 0 ? 0 : request->from_revision() - 1;
  bool first = true;
  uint64_t breaks = 0;
  {
    absl::MutexLock lock(&store_.mutex_);
    breaks = store_.watch_breaks_;
  }
  while (!context->IsCancelled()) {
    store::v1::WatchResponse response;
    {
      absl::MutexLock lock(&store_.mutex_);
      const auto go_on = [&]() ABSL_SHARED_LOCKS_REQUIRED(store_.mutex_) {
        if (store_.watch_breaks_ != breaks) return true;
        return !store_.hold_watches_ && (first || store_.revision_ > sent);
      };
      if (!store_.mutex_.AwaitWithTimeout(absl::Condition(&go_on), absl::Milliseconds(20))) continue;
      if (store_.watch_breaks_ != breaks) return {grpc::StatusCode::UNAVAILABLE, "broken"};
      response = store_.Changes(request->prefix(), sent);
    }
    first = false;
    sent = response.revision();
    if (!writer->Write(response)) break;
  }
  return grpc::Status::CANCELLED;
}

grpc::Status FakeStore::KeyValue::List(grpc::ServerContext*, const store::v1::ListRequest* request,
                                       store::v1::ListResponse* response) {
  absl::MutexLock lock(&store_.mutex_);
  for (const auto& [key, value] : store_.content_) {
    if (!key.starts_with(request->prefix()) || key < request->start_key()) continue;
    // Small pages, so that there are some.
    if (response->entries_size() == 3) {
      response->set_next_key(key);
      break;
    }
    store::v1::Entry* const entry = response->add_entries();
    entry->set_key(key);
    entry->set_value(value);
  }
  return grpc::Status::OK;
}

grpc::Status FakeStore::KeyValue::Write(grpc::ServerContext* context, const store::v1::WriteRequest* request,
                                        store::v1::WriteResponse*) {
  absl::MutexLock lock(&store_.mutex_);
  const auto go_on = [&]() ABSL_SHARED_LOCKS_REQUIRED(store_.mutex_) {
    return !store_.hold_writes_ || context->IsCancelled();
  };
  while (!store_.mutex_.AwaitWithTimeout(absl::Condition(&go_on), absl::Milliseconds(20))) {
  }
  if (context->IsCancelled()) return grpc::Status::CANCELLED;
  for (auto& [key, value] : std::exchange(store_.before_write_, {})) store_.PutNow(key, value);
  for (const auto& put : request->puts()) {
    const bool exists = store_.content_.contains(put.key());
    if (put.has_expected_revision() && put.expected_revision() != (exists ? store_.revisions_[put.key()] : 0)) {
      return {grpc::StatusCode::FAILED_PRECONDITION, "another revision"};
    }
  }
  for (const auto& commit : request->commits()) {
    if (!store_.has_consumer_) return {grpc::StatusCode::NOT_FOUND, "no consumer"};
    store_.checkpoint_ = std::max(store_.checkpoint_, commit.positions(0).sequence());
  }
  ++store_.writes_;
  for (const auto& append : request->appends()) store_.Take(append);
  for (const auto& put : request->puts()) store_.PutNow(put.key(), put.value());
  for (const auto& del : request->deletes()) {
    if (store_.content_.erase(del.key()) > 0) store_.revisions_[del.key()] = ++store_.revision_;
  }
  if (std::exchange(store_.lose_answer_, false)) return {grpc::StatusCode::UNAVAILABLE, "broken"};
  return grpc::Status::OK;
}

grpc::Status FakeStore::Status::GetStoreStatus(grpc::ServerContext*, const store::v1::GetStoreStatusRequest*,
                                               store::v1::GetStoreStatusResponse* response) {
  response->mutable_edge_clock()->set_seconds(1000);
  return grpc::Status::OK;
}

}  // namespace holdfast::router
