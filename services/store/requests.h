#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "holdfast/store/v1/store.pb.h"
#include "services/store/engine.h"

namespace holdfast::store {

// What the store's calls may carry (store.proto), checked and turned into the engine's terms. Errors are
// INVALID_ARGUMENT with a sentence for the caller. Free functions, thread-safe.
absl::Status CheckQueueName(std::string_view name);
absl::Status CheckConsumerName(std::string_view name);
absl::Status CheckKey(std::string_view key);
absl::Status CheckPriority(uint32_t priority);

absl::StatusOr<Fence> ToFence(const v1::Fence& fence);
absl::StatusOr<AppendJob> ToAppendJob(const v1::AppendRequest& request);
absl::StatusOr<CommitJob> ToCommitJob(const v1::CommitRequest& request);
absl::StatusOr<PutJob> ToPutJob(const v1::PutRequest& request);
absl::StatusOr<DeleteJob> ToDeleteJob(const v1::DeleteRequest& request);
absl::StatusOr<WriteJob> ToWriteJob(const v1::WriteRequest& request);

// 1 s to 1 day.
absl::StatusOr<uint64_t> ToLeaseMs(const google::protobuf::Duration& ttl);

void SetDuration(uint64_t milliseconds, google::protobuf::Duration* duration);
void SetTimestamp(int64_t unix_milliseconds, google::protobuf::Timestamp* timestamp);

// One queue as ListQueues shows it. On the engine's writer thread.
void Describe(Queue& queue, uint32_t waiting_appends, uint64_t now_edge_ms, v1::Queue* out);

}  // namespace holdfast::store
