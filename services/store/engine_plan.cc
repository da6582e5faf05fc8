// What an operation does to the state: room, appends, and the atomic Write.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "absl/time/clock.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "services/store/engine.h"

namespace holdfast::store {
namespace {

constexpr absl::Duration kFreeBytesFresh = absl::Milliseconds(500);

}  // namespace

uint64_t Engine::BytesMax(const Queue& queue) const {
  return queue.info().settings.bytes_max != 0 ? queue.info().settings.bytes_max : options_.queue_bytes_max;
}

bool Engine::DiskIsLow() {
  const absl::Time now = absl::Now();
  if (now - free_bytes_checked_ > kFreeBytesFresh || now < free_bytes_checked_) {
    free_bytes_ = options_.free_bytes();
    free_bytes_checked_ = now;
  }
  return free_bytes_ < options_.free_space_floor_bytes;
}

// Ok if `bytes` more fit, after drop-oldest had its turn.
absl::Status Engine::MakeRoom(Transaction& tx, Queue& queue, uint64_t bytes) {
  if (DiskIsLow()) {
    return absl::ResourceExhaustedError(
        fmt::format("the disk of {} has {} bytes free, less than the floor of {}; free some space", options_.data_dir,
                    free_bytes_, options_.free_space_floor_bytes));
  }
  const uint64_t queue_max = BytesMax(queue);
  const auto fits = [&] {
    return queue.bytes() + bytes <= queue_max && catalog_->bytes() + bytes <= options_.total_bytes_max;
  };
  if (bytes <= queue_max && bytes <= options_.total_bytes_max &&
      queue.info().settings.full_policy == FullPolicy::kDropOldest) {
    while (!fits() && queue.DropOldest(tx)) {
    }
  }
  if (fits()) return absl::OkStatus();
  if (queue.bytes() + bytes > queue_max) {
    return absl::ResourceExhaustedError(
        fmt::format("queue {} is full: it holds {} of {} bytes; commit, purge or raise its bytes_max",
                    queue.info().name, queue.bytes(), queue_max));
  }
  return absl::ResourceExhaustedError(
      fmt::format("the store is full: it holds {} of {} bytes; commit, purge or raise total_bytes_max",
                  catalog_->bytes(), options_.total_bytes_max));
}

absl::Status Engine::PlanAppend(Transaction& tx, Operation& operation, const AppendJob& job, uint64_t* first_sequence) {
  const bool behind_another = std::any_of(held_.begin(), held_.end(), [&](const Operation& held) {
    return held.stream_id == operation.stream_id && held.queue == operation.queue;
  });
  if (behind_another) {
    hold_ = true;
    return absl::OkStatus();
  }
  if (job.fence) RETURN_IF_ERROR(key_value_->CheckFence(*job.fence));
  ASSIGN_OR_RETURN(Queue* const queue, catalog_->FindOrCreate(tx, job.queue));
  const uint64_t bytes = job.block->value.size() - kBlockHeaderBytes;
  if (const absl::Status room = MakeRoom(tx, *queue, bytes); !room.ok()) {
    // What can never fit is not held: nobody could make room for it.
    hold_ = operation.wait && bytes <= BytesMax(*queue) && bytes <= options_.total_bytes_max;
    return hold_ ? absl::OkStatus() : room;
  }
  *first_sequence = queue->Append(tx, job.block);
  return absl::OkStatus();
}

absl::Status Engine::CheckWrite(Transaction& tx, const WriteJob& job) {
  for (const Fence& fence : job.fences) RETURN_IF_ERROR(key_value_->CheckFence(fence));
  for (const CommitJob& commit : job.commits) {
    const Queue* const queue = catalog_->Find(commit.queue);
    if (queue == nullptr) return absl::NotFoundError(fmt::format("there is no queue {}", commit.queue));
    RETURN_IF_ERROR(queue->CheckCommit(commit.consumer, commit.positions));
  }
  uint64_t put_bytes = 0;
  uint64_t replaced_bytes = 0;
  for (const PutJob& put : job.puts) {
    RETURN_IF_ERROR(key_value_->CheckPut(put.key, put.expected_revision, put.lease_id));
    put_bytes += put.key.size() + put.value.size();
    replaced_bytes += key_value_->BytesOf(put.key);
  }
  RETURN_IF_ERROR(key_value_->CheckRoom(catalog_->state(), put_bytes, replaced_bytes));
  for (const DeleteJob& del : job.deletes) {
    RETURN_IF_ERROR(key_value_->CheckRevision(del.key, del.expected_revision));
  }
  std::map<std::string_view, uint64_t> bytes_by_queue;
  for (const AppendJob& append : job.appends) {
    bytes_by_queue[append.queue] += append.block->value.size() - kBlockHeaderBytes;
  }
  uint64_t total = 0;
  for (const auto& [name, bytes] : bytes_by_queue) {
    total += bytes;
    // A new queue may be made here though another part fails then: it is empty, and nobody minds.
    ASSIGN_OR_RETURN(Queue* const queue, catalog_->FindOrCreate(tx, name));
    const bool drops = queue->info().settings.full_policy == FullPolicy::kDropOldest;
    const uint64_t held = drops ? 0 : queue->bytes();
    if (held + bytes > BytesMax(*queue) || (!drops && catalog_->bytes() + total > options_.total_bytes_max)) {
      return absl::ResourceExhaustedError(fmt::format("queue {} or the store has no room for {} bytes", name, bytes));
    }
    if (DiskIsLow()) RETURN_IF_ERROR(MakeRoom(tx, *queue, bytes));
  }
  return absl::OkStatus();
}

absl::Status Engine::PlanWrite(Transaction& tx, const WriteJob& job, WriteResult* result) {
  *result = WriteResult();
  RETURN_IF_ERROR(CheckWrite(tx, job));
  StoreState& state = catalog_->state();
  for (const AppendJob& append : job.appends) {
    Queue* const queue = catalog_->Find(append.queue);
    // Only dropping can be left to do here. If the store is full of other queues' records, it goes a little over its
    // limit.
    MakeRoom(tx, *queue, append.block->value.size() - kBlockHeaderBytes).IgnoreError();
    result->first_sequences.push_back(queue->Append(tx, append.block));
  }
  for (const CommitJob& commit : job.commits)
    catalog_->Find(commit.queue)->Commit(tx, commit.consumer, commit.positions);
  for (const PutJob& put : job.puts) {
    result->revision = key_value_->Put(tx, state, put.key, put.value, put.lease_id);
  }
  for (const DeleteJob& del : job.deletes) {
    const uint64_t revision = key_value_->Delete(tx, state, del.key);
    if (revision == 0) continue;
    result->revision = revision;
    result->deleted = true;
  }
  return absl::OkStatus();
}

}  // namespace holdfast::store
