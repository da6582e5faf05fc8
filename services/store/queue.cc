#include "services/store/queue.h"

#include <fmt/format.h>

#include <algorithm>

#include "services/store/lane_scan.h"

namespace holdfast::store {
namespace {

// Places of blocks kept in memory per lane; a lane that is drained while it is filled stays within it.
constexpr size_t kRecentBlocksMax = 512;
// Deletions added to the batch of a commit; the sweeper does the rest.
constexpr size_t kDeletesPerCommitMax = 256;

}  // namespace

Queue::Queue(uint64_t id, QueueInfo info, QueueCounters counters, const Database* database,
             const Encryption* encryption, uint64_t* total_bytes, std::shared_ptr<Feed> feed)
    : id_(id),
      info_(std::move(info)),
      counters_(std::move(counters)),
      database_(database),
      encryption_(encryption),
      total_bytes_(total_bytes),
      feed_(std::move(feed)),
      lanes_(counters_.lanes.size()) {
  *total_bytes_ += bytes();
}

uint64_t Queue::bytes() const {
  uint64_t bytes = 0;
  for (const LaneCounters& lane : counters_.lanes) bytes += LaneBytes(lane);
  return bytes;
}

uint64_t Queue::records() const {
  uint64_t records = 0;
  for (const LaneCounters& lane : counters_.lanes) records += LaneRecords(lane);
  return records;
}

uint64_t Queue::LaneRecords(const LaneCounters& lane) {
  return lane.total_records - std::min(std::max(lane.head_records, lane.passed_records), lane.total_records);
}

uint64_t Queue::LagRecords(const Consumer& consumer) const {
  uint64_t lag = 0;
  for (const LaneCounters& lane : counters_.lanes) {
    uint64_t passed = lane.head_records;
    for (const Checkpoint& checkpoint : consumer.checkpoints) {
      if (checkpoint.priority == lane.priority) passed = std::max(passed, checkpoint.passed_records);
    }
    lag += lane.total_records - std::min(passed, lane.total_records);
  }
  return lag;
}

std::optional<uint64_t> Queue::OldestEdgeMs(uint32_t priority) {
  const LaneCounters* counters = FindCounters(priority);
  if (counters == nullptr || LaneRecords(*counters) == 0) return std::nullopt;
  const auto head = Head(*counters);
  if (!head) return std::nullopt;
  return head->edge_ms;
}

uint64_t Queue::OldestBlockEdgeMs() {
  uint64_t oldest = UINT64_MAX;
  for (const LaneCounters& counters : counters_.lanes) {
    if (counters.head_records == counters.total_records) continue;
    const auto head = Head(counters);
    // A hole has the time at which it was made, which says nothing of the blocks behind it.
    oldest = std::min(oldest, head && !head->hole ? head->edge_ms : 0);
  }
  return oldest;
}

int32_t Queue::ttl_seconds(int32_t default_seconds) const {
  return info_.settings.ttl_seconds != 0 ? info_.settings.ttl_seconds : default_seconds;
}

LaneCounters* Queue::FindCounters(uint32_t priority) {
  for (LaneCounters& lane : counters_.lanes) {
    if (lane.priority == priority) return &lane;
  }
  return nullptr;
}

LaneCounters& Queue::CountersOf(uint32_t priority) {
  if (LaneCounters* found = FindCounters(priority); found != nullptr) return *found;
  const auto at = std::find_if(counters_.lanes.begin(), counters_.lanes.end(),
                               [&](const LaneCounters& lane) { return lane.priority > priority; });
  lanes_.insert(lanes_.begin() + (at - counters_.lanes.begin()), Lane{});
  LaneCounters fresh;
  fresh.priority = priority;
  return *counters_.lanes.insert(at, fresh);
}

Queue::Lane& Queue::LaneOf(uint32_t priority) {
  const auto at = std::find_if(counters_.lanes.begin(), counters_.lanes.end(),
                               [&](const LaneCounters& lane) { return lane.priority == priority; });
  return lanes_[static_cast<size_t>(at - counters_.lanes.begin())];
}

uint64_t Queue::PassedByAll(uint32_t priority, uint64_t Checkpoint::*field) const {
  uint64_t passed = UINT64_MAX;
  for (const Consumer& consumer : consumers_) {
    uint64_t own = 0;
    for (const Checkpoint& checkpoint : consumer.checkpoints) {
      if (checkpoint.priority == priority) own = checkpoint.*field;
    }
    passed = std::min(passed, own);
  }
  return passed == UINT64_MAX ? 0 : passed;
}

void Queue::Walk(const LaneCounters& counters, uint64_t sequence, const std::function<bool(const BlockInfo&)>& visit) {
  const auto& recent = LaneOf(counters.priority).recent;
  const uint64_t from = std::max(sequence, counters.head_sequence);
  if (from >= counters.end_sequence) return;
  if (recent.empty() || recent.front().first_sequence > from) {
    LaneScan scan(*database_, id_, counters.priority);
    for (scan.Seek(from, counters.head_sequence); scan.Valid(); scan.Next()) {
      if (!recent.empty() && scan.info().first_sequence >= recent.front().first_sequence) break;
      if (!visit(scan.info())) return;
    }
  }
  auto it = std::partition_point(recent.begin(), recent.end(),
                                 [from](const BlockInfo& info) { return info.end_sequence() <= from; });
  while (it != recent.end() && visit(*it)) ++it;
}

std::optional<BlockInfo> Queue::FindBlock(const LaneCounters& counters, uint64_t sequence) {
  std::optional<BlockInfo> found;
  Walk(counters, sequence, [&found](const BlockInfo& info) {
    found = info;
    return false;
  });
  return found;
}

std::optional<BlockInfo> Queue::Head(const LaneCounters& counters) {
  auto& head = LaneOf(counters.priority).head;
  if (!head) head = FindBlock(counters, counters.head_sequence);
  return head;
}

uint64_t Queue::Append(Transaction& tx, std::shared_ptr<Block> block) {
  LaneCounters& counters = CountersOf(block->priority);
  const uint64_t first_sequence = counters_.next_sequence;
  const auto count = block->header.record_count;
  const auto bytes = static_cast<uint32_t>(block->value.size() - kBlockHeaderBytes);

  block->first_sequence = first_sequence;
  block->header.edge_ms = tx.now_edge_ms;
  block->header.wall_ms = tx.now_wall_ms;
  block->header.records_before = counters.total_records;
  block->header.bytes_before = counters.total_bytes;
  const std::string key = BlockKey(id_, block->priority, first_sequence);
  tx.batch.Append(key, encryption_->FinishBlock(key, block.get(), &tx.sealed));

  const BlockInfo info{.first_sequence = first_sequence,
                       .edge_ms = tx.now_edge_ms,
                       .records_before = counters.total_records,
                       .bytes_before = counters.total_bytes,
                       .record_count = count,
                       .bytes = bytes,
                       .ttl_seconds = block->header.ttl_seconds};
  Lane& lane = LaneOf(block->priority);
  if (counters.head_records == counters.total_records) {
    if (counters.garbage_sequence == counters.head_sequence) counters.garbage_sequence = first_sequence;
    counters.head_sequence = first_sequence;
    lane.recent.clear();
    lane.head = info;
  }
  lane.recent.push_back(info);
  counters.total_records += count;
  counters.total_bytes += bytes;
  *total_bytes_ += bytes;
  counters.end_sequence = first_sequence + count;
  counters_.next_sequence += count;
  counters_.appended += count;

  tx.appended_records += count;
  tx.blocks.emplace_back(id_, std::move(block));
  Touch(tx);
  return first_sequence;
}

void Queue::MoveHead(Transaction& tx, LaneCounters& counters, const std::optional<BlockInfo>& target) {
  const uint64_t head_sequence = target ? target->first_sequence : counters.end_sequence;
  if (head_sequence == counters.head_sequence && target) return;
  Lane& lane = LaneOf(counters.priority);
  const bool all_known = !lane.recent.empty() && lane.recent.front().first_sequence <= counters.garbage_sequence;
  while (!lane.recent.empty() && lane.recent.front().first_sequence < head_sequence) {
    tx.batch.Delete(BlockKey(id_, counters.priority, lane.recent.front().first_sequence));
    lane.recent.pop_front();
  }
  counters.head_sequence = head_sequence;
  counters.head_records = target ? target->records_before : counters.total_records;
  *total_bytes_ -= LaneBytes(counters);
  counters.head_bytes = target ? target->bytes_before : counters.total_bytes;
  *total_bytes_ += LaneBytes(counters);
  if (all_known) counters.garbage_sequence = head_sequence;
  lane.head = target;
  tx.freed = true;
  Touch(tx);
}

bool Queue::DropOldest(Transaction& tx) {
  for (size_t i = counters_.lanes.size(); i-- > 0;) {
    LaneCounters& counters = counters_.lanes[i];
    if (LaneBytes(counters) == 0 && counters.head_records == counters.total_records) continue;
    const uint64_t before = LaneRecords(counters);
    const auto head = Head(counters);
    std::optional<BlockInfo> next;
    if (head) next = FindBlock(counters, head->end_sequence());
    const bool hole = head && head->hole;
    MoveHead(tx, counters, next);
    if (!hole) counters_.full += before - LaneRecords(counters);
    return true;
  }
  return false;
}

absl::Status Queue::CheckCommit(std::string_view consumer, const std::vector<Checkpoint>& positions) const {
  if (FindConsumer(consumer) == nullptr) {
    return absl::NotFoundError(fmt::format("queue {} has no consumer {}; a Pull registers it", info_.name, consumer));
  }
  for (const Checkpoint& position : positions) {
    if (position.sequence >= counters_.next_sequence) {
      return absl::InvalidArgumentError(fmt::format("sequence {} was never assigned in queue {}, whose next one is {}",
                                                    position.sequence, info_.name, counters_.next_sequence));
    }
  }
  return absl::OkStatus();
}

void Queue::Commit(Transaction& tx, std::string_view consumer_name, const std::vector<Checkpoint>& positions) {
  const auto consumer =
      std::find_if(consumers_.begin(), consumers_.end(), [&](const Consumer& c) { return c.name == consumer_name; });
  bool changed = false;
  for (const Checkpoint& position : positions) {
    const LaneCounters* counters = FindCounters(position.priority);
    if (counters == nullptr) continue;  // Nothing was ever appended there.
    auto own = std::find_if(consumer->checkpoints.begin(), consumer->checkpoints.end(),
                            [&](const Checkpoint& c) { return c.priority == position.priority; });
    if (own == consumer->checkpoints.end()) {
      own = consumer->checkpoints.insert(own, {.priority = position.priority});
    }
    if (position.sequence <= own->sequence) continue;
    uint64_t passed = counters->total_records;
    if (const auto block = FindBlock(*counters, position.sequence); block) {
      passed = block->records_before;
      if (block->first_sequence <= position.sequence) passed += position.sequence - block->first_sequence + 1;
    }
    tx.passed_records += passed - std::min(passed, std::max(own->passed_records, counters->head_records));
    own->sequence = position.sequence;
    own->passed_records = std::max(own->passed_records, passed);
    changed = true;
  }
  if (!changed) return;
  WriteConsumer(tx, *consumer);
  MoveHeadsToCheckpoints(tx);
  Touch(tx);
}

void Queue::MoveHeadsToCheckpoints(Transaction& tx) {
  if (consumers_.empty()) return;
  for (LaneCounters& counters : counters_.lanes) {
    const uint64_t passed = PassedByAll(counters.priority, &Checkpoint::sequence);
    if (passed <= counters.passed_sequence) continue;
    counters.passed_sequence = passed;
    counters.passed_records =
        std::max(counters.passed_records, PassedByAll(counters.priority, &Checkpoint::passed_records));
    Touch(tx);
    if (passed < counters.head_sequence || counters.head_records == counters.total_records) continue;
    MoveHead(tx, counters, FindBlock(counters, passed + 1));
  }
  if (has_garbage()) CollectGarbage(tx, kDeletesPerCommitMax);
}

void Queue::WriteConsumer(Transaction& tx, const Consumer& consumer) const {
  tx.batch.Put(CheckpointsKey(id_, consumer.name), Encode(consumer.checkpoints));
}

absl::StatusOr<const Queue::Consumer*> Queue::Register(Transaction& tx, std::string_view name) {
  if (const Consumer* found = FindConsumer(name); found != nullptr) return found;
  if (consumers_.size() >= kConsumersPerQueueMax) {
    return absl::ResourceExhaustedError(
        fmt::format("queue {} has {} consumers already; delete one", info_.name, consumers_.size()));
  }
  consumers_.push_back({std::string(name), {}});
  for (const LaneCounters& lane : counters_.lanes) {
    // What the others passed is removed, though its block may still be there.
    if (lane.passed_sequence == 0) continue;
    consumers_.back().checkpoints.push_back({lane.priority, lane.passed_sequence, lane.passed_records});
  }
  WriteConsumer(tx, consumers_.back());
  return &consumers_.back();
}

const Queue::Consumer* Queue::FindConsumer(std::string_view name) const {
  for (const Consumer& consumer : consumers_) {
    if (consumer.name == name) return &consumer;
  }
  return nullptr;
}

absl::Status Queue::DeleteConsumer(Transaction& tx, std::string_view name) {
  if (FindConsumer(name) == nullptr) {
    return absl::NotFoundError(fmt::format("queue {} has no consumer {}", info_.name, name));
  }
  std::erase_if(consumers_, [&](const Consumer& consumer) { return consumer.name == name; });
  tx.batch.Delete(CheckpointsKey(id_, name));
  MoveHeadsToCheckpoints(tx);
  return absl::OkStatus();
}

uint64_t Queue::Purge(Transaction& tx, std::optional<uint32_t> priority) {
  uint64_t removed = 0;
  for (LaneCounters& counters : counters_.lanes) {
    if ((priority && counters.priority != *priority) || counters.head_records == counters.total_records) continue;
    removed += LaneRecords(counters);
    MoveHead(tx, counters, std::nullopt);
  }
  counters_.by_operator += removed;
  return removed;
}

void Queue::Configure(Transaction& tx, const Settings& settings) {
  info_.settings = settings;
  tx.freed = true;
  Touch(tx);
}

void Queue::Publish(int32_t default_ttl_seconds) {
  Feed::Snapshot snapshot;
  snapshot.ttl_seconds = ttl_seconds(default_ttl_seconds);
  snapshot.lanes.reserve(counters_.lanes.size());
  for (size_t i = 0; i < counters_.lanes.size(); ++i) {
    const LaneCounters& lane = counters_.lanes[i];
    snapshot.lanes.push_back({.priority = lane.priority,
                              .head_sequence = lane.head_sequence,
                              .head_records = lane.head_records,
                              .end_sequence = lane.end_sequence,
                              .total_records = lane.total_records,
                              .total_bytes = lane.total_bytes});
    auto& recent = lanes_[i].recent;
    while (recent.size() > kRecentBlocksMax) recent.pop_front();
  }
  feed_->Publish(std::move(snapshot));
}

}  // namespace holdfast::store
