// Queue's upkeep, which no caller asks for: expiry, losses, what is left to delete, counting anew after a repair.
#include <algorithm>

#include "services/store/lane_scan.h"
#include "services/store/queue.h"

namespace holdfast::store {

size_t Queue::Sweep(Transaction& tx, int32_t default_ttl_seconds, size_t blocks_max) {
  const int32_t ttl = ttl_seconds(default_ttl_seconds);
  size_t removed = 0;
  for (LaneCounters& counters : counters_.lanes) {
    if (counters.head_records == counters.total_records || removed >= blocks_max) continue;
    const auto over = [&](const BlockInfo& info) {
      return info.hole || IsExpired(info.edge_ms, info.ttl_seconds, ttl, tx.now_edge_ms);
    };
    const auto head = Head(counters);
    const uint64_t passed = std::max(counters.head_records, counters.passed_records);
    const uint64_t found_before = head ? head->records_before : counters.total_records;
    if (found_before > passed && (!head || head->first_sequence > counters.head_sequence)) {
      counters_.corrupt += found_before - passed;  // What should have come before is not readable.
      MoveHead(tx, counters, head);
    }
    if (!head || !over(*head)) continue;
    std::optional<BlockInfo> target;
    bool reached = false;
    Walk(counters, head->first_sequence, [&](const BlockInfo& info) {
      if (!over(info) || removed >= blocks_max) {
        target = info;
        reached = true;
        return false;
      }
      const uint64_t end = info.records_before + info.record_count;
      if (!info.hole) counters_.expired += end - std::min(end, std::max(info.records_before, passed));
      ++removed;
      return true;
    });
    MoveHead(tx, counters, reached ? target : std::nullopt);
  }
  return removed;
}

uint64_t Queue::MarkLoss(Transaction& tx, const Loss& loss, int32_t default_ttl_seconds) {
  LaneCounters* counters = FindCounters(loss.priority);
  constexpr size_t kBlocksMax = 1024;
  if (loss.expired) Sweep(tx, default_ttl_seconds, kBlocksMax);
  if (counters == nullptr || loss.records_before + loss.record_count > counters->total_records) return 0;
  if (loss.first_sequence < counters->head_sequence || loss.records_before < counters->head_records) return 0;

  const std::string key = BlockKey(id_, loss.priority, loss.first_sequence);
  Lane& lane = LaneOf(loss.priority);
  const auto info = std::find_if(lane.recent.begin(), lane.recent.end(),
                                 [&](const BlockInfo& i) { return i.first_sequence == loss.first_sequence; });
  if (info != lane.recent.end() && info->hole) return 0;
  if (const auto value = database_->Get(key); value.ok()) {
    const auto header = ReadBlockHeader(key, *value);
    std::string records;
    const auto opens = [&] { return encryption_->OpenBlock(key, *header, *value, &records).ok(); };
    if (header && (header->hole || (!loss.expired && opens()))) return 0;  // Marked already, or readable after all.
  }
  std::string value(kBlockHeaderBytes, '\0');
  PutBlockHeader({.hole = true,
                  .record_count = loss.record_count,
                  .ttl_seconds = 0,
                  .wall_ms = tx.now_wall_ms,
                  .edge_ms = tx.now_edge_ms,
                  .records_before = loss.records_before,
                  .bytes_before = loss.bytes_before},
                 &value);
  PutBlockChecksum(key, &value);
  tx.batch.Put(key, value);
  if (info != lane.recent.end()) info->hole = true;
  lane.head.reset();
  (loss.expired ? counters_.expired : counters_.corrupt) += loss.record_count;
  Touch(tx);
  return loss.expired ? 0 : loss.record_count;
}

size_t Queue::CollectGarbage(Transaction& tx, size_t keys_max) {
  size_t deleted = 0;
  for (LaneCounters& counters : counters_.lanes) {
    if (counters.garbage_sequence >= counters.head_sequence || deleted >= keys_max) continue;
    Database::Scan scan(*database_, LanePrefix(id_, counters.priority), /*checked=*/false, /*riders=*/true);
    uint64_t next = counters.head_sequence;
    for (scan.Seek(BlockKey(id_, counters.priority, counters.garbage_sequence)); scan.Valid(); scan.Next()) {
      const auto key = ParseBlockKey(BlockOf(scan.key()));
      if (!key || key->first_sequence >= counters.head_sequence) break;
      if (deleted >= keys_max) {
        next = key->first_sequence;
        break;
      }
      tx.batch.Delete(scan.key());
      ++deleted;
    }
    if (!scan.status().ok()) return deleted;
    counters.garbage_sequence = next;
    Touch(tx);
  }
  return deleted;
}

void Queue::LookForGarbage() {
  for (LaneCounters& counters : counters_.lanes) counters.garbage_sequence = 1;
}

bool Queue::has_garbage() const {
  return std::any_of(counters_.lanes.begin(), counters_.lanes.end(),
                     [](const LaneCounters& lane) { return lane.garbage_sequence < lane.head_sequence; });
}

void Queue::Recount(Transaction& tx, uint64_t margin) {
  *total_bytes_ -= bytes();
  std::vector<uint32_t> priorities = {kDefaultPriority};
  for (uint32_t priority = 0; priority <= kImportantPriorityMax; ++priority) priorities.push_back(priority);
  for (const uint32_t priority : priorities) {
    Database::Scan scan(*database_, LanePrefix(id_, priority), /*checked=*/false);
    scan.SeekLast();
    if (!scan.Valid()) continue;
    LaneCounters& counters = CountersOf(priority);
    const auto key = ParseBlockKey(scan.key());
    const auto header = ReadBlockHeader(scan.key(), scan.value());
    if (!key || !header) continue;
    counters.end_sequence = std::max(counters.end_sequence, key->first_sequence + header->record_count);
    counters.total_records = std::max(counters.total_records, header->records_before + header->record_count);
    counters.total_bytes =
        std::max(counters.total_bytes, header->bytes_before + BlockRecordBytes(*header, scan.value()));
    counters_.next_sequence = std::max(counters_.next_sequence, counters.end_sequence);
  }
  counters_.next_sequence += margin;
  *total_bytes_ += bytes();
  Touch(tx);
}

}  // namespace holdfast::store
