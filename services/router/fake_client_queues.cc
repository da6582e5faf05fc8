#include "services/router/fake_client_queues.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "absl/time/time.h"
#include "lib/record/block.h"
#include "lib/record/queue_names.h"

namespace holdfast::router {

FakeClientQueues::Queue& FakeClientQueues::Find(const std::string& name) {
  Queue& queue = queues_[name];
  if (queue.incarnation.empty()) queue.incarnation = std::to_string(++made_);
  return queue;
}

uint64_t FakeClientQueues::Append(const store::v1::AppendRequest& request) {
  absl::MutexLock lock(&mutex_);
  requests_.push_back(request);
  Queue& queue = Find(request.queue());
  const uint64_t first = queue.records.size() + 1;
  BlockReader reader(request.records());
  while (const auto record = reader.Next()) {
    queue.records.push_back({.priority = request.priority(), .bytes = std::string(*record)});
  }
  return first;
}

void FakeClientQueues::Put(const std::string& queue, const std::string& record, uint32_t priority) {
  absl::MutexLock lock(&mutex_);
  Find(queue).records.push_back({.priority = priority, .bytes = record});
}

void FakeClientQueues::Put(const std::string& queue, const message::v1::Envelope& envelope, uint32_t priority) {
  Put(queue, envelope.SerializeAsString(), priority);
}

uint64_t FakeClientQueues::Next(const Queue& queue, std::map<uint32_t, uint64_t>* cursor) {
  std::optional<uint64_t> best;
  for (uint64_t s = 1; s <= queue.records.size(); ++s) {
    const Record& record = queue.records[s - 1];
    if (s <= (*cursor)[record.priority]) continue;
    if (!best.has_value() || record.priority < queue.records[*best - 1].priority) best = s;
  }
  if (best.has_value()) (*cursor)[queue.records[*best - 1].priority] = *best;
  return best.value_or(0);
}

grpc::Status FakeClientQueues::Pull(grpc::ServerContext* context, const store::v1::PullRequest& request,
                                    grpc::ServerWriter<store::v1::PullResponse>* writer) {
  EXPECT_EQ(request.consumer(), kClientConsumer);
  std::map<uint32_t, uint64_t> cursor;
  std::string incarnation;
  uint64_t breaks = 0;
  {
    absl::MutexLock lock(&mutex_);
    ++pulls_;
    ++open_pulls_;
    breaks = breaks_;
    cursor = Find(request.queue()).checkpoints;
    incarnation = Find(request.queue()).incarnation;
  }
  bool first = true;
  grpc::Status status = grpc::Status::CANCELLED;
  while (!context->IsCancelled()) {
    store::v1::PullResponse response;
    {
      absl::MutexLock lock(&mutex_);
      const auto changed = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        const auto it = queues_.find(request.queue());
        auto look = cursor;
        return breaks_ != breaks || it == queues_.end() || it->second.incarnation != incarnation ||
               Next(it->second, &look) != 0;
      };
      if (!mutex_.AwaitWithTimeout(absl::Condition(&changed), absl::Milliseconds(10))) continue;
      const auto it = queues_.find(request.queue());
      if (breaks_ != breaks) {
        status = {grpc::StatusCode::UNAVAILABLE, "broken"};
        break;
      }
      if (it == queues_.end() || it->second.incarnation != incarnation) {
        status = {grpc::StatusCode::NOT_FOUND, "queue was deleted"};
        break;
      }
      const uint64_t sequence = Next(it->second, &cursor);
      const Record& record = it->second.records[sequence - 1];
      response.set_first_sequence(sequence);
      response.set_priority(record.priority);
      response.set_record_count(1);
      AppendRecord(record.bytes, response.mutable_records());
      if (std::exchange(first, false)) response.set_incarnation(incarnation);
    }
    if (!writer->Write(response)) break;
  }
  absl::MutexLock lock(&mutex_);
  --open_pulls_;
  return status;
}

grpc::Status FakeClientQueues::Commit(grpc::ServerContext* context, const store::v1::CommitRequest& request) {
  absl::MutexLock lock(&mutex_);
  const auto go_on = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !hold_commits_ || context->IsCancelled(); };
  while (!mutex_.AwaitWithTimeout(absl::Condition(&go_on), absl::Milliseconds(20))) {
  }
  if (context->IsCancelled()) return grpc::Status::CANCELLED;
  if (fail_commit_ != grpc::StatusCode::OK) return {std::exchange(fail_commit_, grpc::StatusCode::OK), "as told"};
  const auto it = queues_.find(request.queue());
  if (it == queues_.end()) return {grpc::StatusCode::NOT_FOUND, "no queue"};
  for (const auto& position : request.positions()) {
    if (position.sequence() > it->second.records.size()) return {grpc::StatusCode::INVALID_ARGUMENT, "past the end"};
    uint64_t& checkpoint = it->second.checkpoints[position.priority()];
    checkpoint = std::max(checkpoint, position.sequence());
  }
  ++commits_;
  return grpc::Status::OK;
}

void FakeClientQueues::Configure(const store::v1::ConfigureQueueRequest& request) {
  absl::MutexLock lock(&mutex_);
  Find(request.queue());
  settings_[request.queue()] = request.settings();
}

grpc::Status FakeClientQueues::Delete(const std::string& queue) {
  absl::MutexLock lock(&mutex_);
  if (queues_.erase(queue) == 0) return {grpc::StatusCode::NOT_FOUND, "no queue"};
  return grpc::Status::OK;
}

void FakeClientQueues::Break() {
  absl::MutexLock lock(&mutex_);
  ++breaks_;
}

void FakeClientQueues::HoldCommits(bool hold) {
  absl::MutexLock lock(&mutex_);
  hold_commits_ = hold;
}

void FakeClientQueues::FailNextCommit(grpc::StatusCode code) {
  absl::MutexLock lock(&mutex_);
  fail_commit_ = code;
}

bool FakeClientQueues::Exists(const std::string& queue) {
  absl::MutexLock lock(&mutex_);
  return queues_.contains(queue);
}

size_t FakeClientQueues::size(const std::string& queue) {
  absl::MutexLock lock(&mutex_);
  const auto it = queues_.find(queue);
  return it == queues_.end() ? 0 : it->second.records.size();
}

uint64_t FakeClientQueues::checkpoint(const std::string& queue, uint32_t priority) {
  absl::MutexLock lock(&mutex_);
  const auto it = queues_.find(queue);
  return it == queues_.end() ? 0 : it->second.checkpoints[priority];
}

size_t FakeClientQueues::commits() {
  absl::MutexLock lock(&mutex_);
  return commits_;
}

size_t FakeClientQueues::pulls() {
  absl::MutexLock lock(&mutex_);
  return pulls_;
}

size_t FakeClientQueues::open_pulls() {
  absl::MutexLock lock(&mutex_);
  return open_pulls_;
}

std::vector<message::v1::Envelope> FakeClientQueues::Messages(const std::string& queue) {
  absl::MutexLock lock(&mutex_);
  std::vector<message::v1::Envelope> messages;
  for (const Record& record : queues_[queue].records) {
    EXPECT_TRUE(messages.emplace_back().ParseFromString(record.bytes));
  }
  return messages;
}

std::vector<store::v1::AppendRequest> FakeClientQueues::Requests() {
  absl::MutexLock lock(&mutex_);
  return requests_;
}

std::map<std::string, store::v1::QueueSettings> FakeClientQueues::Settings() {
  absl::MutexLock lock(&mutex_);
  return settings_;
}

std::vector<std::string> FakeClientQueues::Names() {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> names;
  for (const auto& [name, queue] : queues_) names.push_back(name);
  return names;
}

}  // namespace holdfast::router
