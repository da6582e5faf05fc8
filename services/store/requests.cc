#include "services/store/requests.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/record/block.h"

namespace holdfast::store {
namespace {

// Room for "inputs/" and two identities of 128 bytes.
constexpr size_t kQueueNameBytesMax = 300;
constexpr size_t kConsumerNameBytesMax = 100;
constexpr int kWritePartsMax = 1000;
constexpr int64_t kLeaseMsMin = 1000;
constexpr int64_t kLeaseMsMax = 86'400'000;
constexpr std::string_view kQueueNameCharacters = "._:/@$%#*?!(),=+'-";

bool IsQueueNameCharacter(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         kQueueNameCharacters.find(c) != std::string_view::npos;
}

}  // namespace

absl::Status CheckQueueName(std::string_view name) {
  if (name.empty() || name.size() > kQueueNameBytesMax ||
      !std::all_of(name.begin(), name.end(), IsQueueNameCharacter)) {
    return absl::InvalidArgumentError(fmt::format("queue name {} is not 1-{} characters of [A-Za-z0-9{}]",
                                                  Printable(name), kQueueNameBytesMax, kQueueNameCharacters));
  }
  return absl::OkStatus();
}

absl::Status CheckConsumerName(std::string_view name) {
  if (name.empty() || name.size() > kConsumerNameBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("consumer name of {} bytes is not 1-{} bytes long", name.size(), kConsumerNameBytesMax));
  }
  return absl::OkStatus();
}

absl::Status CheckKey(std::string_view key) {
  if (key.empty() || key.size() > kKeyBytesMax) {
    return absl::InvalidArgumentError(fmt::format("key of {} bytes is not 1-{} bytes long", key.size(), kKeyBytesMax));
  }
  return absl::OkStatus();
}

absl::Status CheckPriority(uint32_t priority) {
  if (priority <= kImportantPriorityMax || priority == kDefaultPriority) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("priority {} is not 0-{} or {}", priority, kImportantPriorityMax, kDefaultPriority));
}

absl::StatusOr<Fence> ToFence(const v1::Fence& fence) {
  RETURN_IF_ERROR(Annotate(CheckKey(fence.key()), "fence"));
  if (fence.revision() == 0) {
    return absl::InvalidArgumentError("the revision of a fence is 0: it is what the Put of its key answered");
  }
  return Fence{fence.key(), fence.revision()};
}

absl::StatusOr<AppendJob> ToAppendJob(const v1::AppendRequest& request) {
  RETURN_IF_ERROR(CheckQueueName(request.queue()));
  RETURN_IF_ERROR(CheckPriority(request.priority()));
  if (request.ttl_seconds() < -1) {
    return absl::InvalidArgumentError(fmt::format("ttl_seconds {} is not -1 or more", request.ttl_seconds()));
  }
  const std::string& records = request.records();
  if (records.size() > kBlockBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("block of {} bytes is larger than {}; split it", records.size(), kBlockBytesMax));
  }
  if (request.record_count() < 1 || request.record_count() > kBlockRecordsMax) {
    return absl::InvalidArgumentError(
        fmt::format("record_count {} is not 1-{}", request.record_count(), kBlockRecordsMax));
  }
  const auto count = CountRecords(records);
  if (!count) return absl::InvalidArgumentError("the block is not a sequence of length-prefixed records");
  if (*count != request.record_count()) {
    return absl::InvalidArgumentError(
        fmt::format("the block holds {} records, record_count says {}", *count, request.record_count()));
  }
  auto block = std::make_shared<Block>();
  block->priority = request.priority();
  block->header.ttl_seconds = request.ttl_seconds();
  block->header.record_count = request.record_count();
  block->value.reserve(kBlockHeaderBytes + records.size());
  block->value.assign(kBlockHeaderBytes, '\0');
  block->value += records;
  AppendJob job{request.queue(), std::move(block), std::nullopt};
  if (request.has_fence()) {
    ASSIGN_OR_RETURN(job.fence, ToFence(request.fence()));
  }
  return job;
}

absl::StatusOr<CommitJob> ToCommitJob(const v1::CommitRequest& request) {
  RETURN_IF_ERROR(CheckQueueName(request.queue()));
  RETURN_IF_ERROR(CheckConsumerName(request.consumer()));
  CommitJob job{request.queue(), request.consumer(), {}};
  for (const v1::Position& position : request.positions()) {
    RETURN_IF_ERROR(CheckPriority(position.priority()));
    for (const Checkpoint& other : job.positions) {
      if (other.priority == position.priority()) {
        return absl::InvalidArgumentError(fmt::format("priority {} is named twice", position.priority()));
      }
    }
    job.positions.push_back({.priority = position.priority(), .sequence = position.sequence()});
  }
  return job;
}

absl::StatusOr<PutJob> ToPutJob(const v1::PutRequest& request) {
  RETURN_IF_ERROR(CheckKey(request.key()));
  if (request.value().size() > kValueBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("value of {} bytes is larger than {}", request.value().size(), kValueBytesMax));
  }
  PutJob job{request.key(), request.value(), std::nullopt, request.lease_id()};
  if (request.has_expected_revision()) job.expected_revision = request.expected_revision();
  return job;
}

absl::StatusOr<DeleteJob> ToDeleteJob(const v1::DeleteRequest& request) {
  RETURN_IF_ERROR(CheckKey(request.key()));
  DeleteJob job{request.key(), std::nullopt};
  if (request.has_expected_revision()) job.expected_revision = request.expected_revision();
  return job;
}

absl::StatusOr<WriteJob> ToWriteJob(const v1::WriteRequest& request) {
  const int parts = request.appends_size() + request.commits_size() + request.puts_size() + request.deletes_size();
  if (parts > kWritePartsMax) {
    return absl::InvalidArgumentError(fmt::format("{} parts are more than {}", parts, kWritePartsMax));
  }
  WriteJob job;
  const auto add_fence = [&job](const v1::Fence& fence) -> absl::Status {
    ASSIGN_OR_RETURN(Fence one, ToFence(fence));
    job.fences.push_back(std::move(one));
    return absl::OkStatus();
  };
  if (request.has_fence()) RETURN_IF_ERROR(add_fence(request.fence()));
  for (const auto& append : request.appends()) {
    ASSIGN_OR_RETURN(AppendJob part, ToAppendJob(append));
    if (part.fence) job.fences.push_back(*part.fence);
    job.appends.push_back(std::move(part));
  }
  for (const auto& commit : request.commits()) {
    ASSIGN_OR_RETURN(CommitJob part, ToCommitJob(commit));
    if (commit.has_fence()) RETURN_IF_ERROR(add_fence(commit.fence()));
    job.commits.push_back(std::move(part));
  }
  for (const auto& put : request.puts()) {
    ASSIGN_OR_RETURN(PutJob part, ToPutJob(put));
    job.puts.push_back(std::move(part));
  }
  for (const auto& del : request.deletes()) {
    ASSIGN_OR_RETURN(DeleteJob part, ToDeleteJob(del));
    job.deletes.push_back(std::move(part));
  }
  return job;
}

absl::StatusOr<uint64_t> ToLeaseMs(const google::protobuf::Duration& ttl) {
  if (ttl.seconds() < 0 || ttl.seconds() > kLeaseMsMax / 1000 || ttl.nanos() < 0 || ttl.nanos() > 999'999'999) {
    return absl::InvalidArgumentError("ttl is not between 1 s and 1 day");
  }
  const int64_t milliseconds = ttl.seconds() * 1000 + ttl.nanos() / 1'000'000;
  if (milliseconds < kLeaseMsMin || milliseconds > kLeaseMsMax) {
    return absl::InvalidArgumentError("ttl is not between 1 s and 1 day");
  }
  return static_cast<uint64_t>(milliseconds);
}

void SetDuration(uint64_t milliseconds, google::protobuf::Duration* duration) {
  duration->set_seconds(static_cast<int64_t>(milliseconds / 1000));
  duration->set_nanos(static_cast<int32_t>(milliseconds % 1000) * 1'000'000);
}

void SetTimestamp(int64_t unix_milliseconds, google::protobuf::Timestamp* timestamp) {
  int64_t seconds = unix_milliseconds / 1000;
  int64_t rest = unix_milliseconds % 1000;
  if (rest < 0) {
    rest += 1000;
    --seconds;
  }
  timestamp->set_seconds(seconds);
  timestamp->set_nanos(static_cast<int32_t>(rest) * 1'000'000);
}

void Describe(Queue& queue, uint32_t waiting_appends, uint64_t now_edge_ms, v1::Queue* out) {
  const QueueCounters& counters = queue.counters();
  out->set_name(queue.info().name);
  out->set_records(queue.records());
  out->set_bytes(queue.bytes());
  out->set_next_sequence(counters.next_sequence);
  out->set_appended(counters.appended);
  out->set_waiting_appends(waiting_appends);
  out->set_incarnation(queue.info().incarnation);
  std::optional<uint64_t> oldest_age_ms;
  for (const LaneCounters& counters_of_lane : counters.lanes) {
    v1::Lane* const lane = out->add_lanes();
    lane->set_priority(counters_of_lane.priority);
    lane->set_records(queue.LaneRecords(counters_of_lane));
    lane->set_bytes(Queue::LaneBytes(counters_of_lane));
    const auto appended_ms = queue.OldestEdgeMs(counters_of_lane.priority);
    if (!appended_ms) continue;
    const uint64_t age_ms = now_edge_ms - std::min(now_edge_ms, *appended_ms);
    SetDuration(age_ms, lane->mutable_oldest_age());
    oldest_age_ms = std::max(oldest_age_ms.value_or(0), age_ms);
  }
  if (oldest_age_ms) SetDuration(*oldest_age_ms, out->mutable_oldest_age());
  for (const Queue::Consumer& from : queue.consumers()) {
    v1::Consumer* const consumer = out->add_consumers();
    consumer->set_name(from.name);
    for (const Checkpoint& checkpoint : from.checkpoints) {
      v1::Position* const position = consumer->add_checkpoints();
      position->set_priority(checkpoint.priority);
      position->set_sequence(checkpoint.sequence);
    }
    consumer->set_connected(queue.feed().IsConnected(from.name));
    consumer->set_lag_records(queue.LagRecords(from));
  }
  const Settings& settings = queue.info().settings;
  out->mutable_settings()->set_full_policy(settings.full_policy == FullPolicy::kDropOldest ? v1::FULL_POLICY_DROP_OLDEST
                                                                                           : v1::FULL_POLICY_REJECT);
  out->mutable_settings()->set_bytes_max(settings.bytes_max);
  out->mutable_settings()->set_ttl_seconds(settings.ttl_seconds);
  out->mutable_dropped()->set_expired(counters.expired);
  out->mutable_dropped()->set_full(counters.full);
  out->mutable_dropped()->set_corrupt(counters.corrupt);
  out->mutable_dropped()->set_operator_(counters.by_operator);
}

}  // namespace holdfast::store
