#include "services/store/lane_scan.h"

#include <algorithm>

namespace holdfast::store {

LaneScan::LaneScan(const Database& database, uint64_t queue_id, uint32_t priority)
    : queue_id_(queue_id), priority_(priority), scan_(database, LanePrefix(queue_id, priority), /*checked=*/false) {}

void LaneScan::Seek(uint64_t sequence, uint64_t head_sequence) {
  valid_ = false;
  const uint64_t from = std::max(sequence, head_sequence);
  const std::string key = BlockKey(queue_id_, priority_, from);
  scan_.Seek(key);
  if (from > head_sequence && (!scan_.Valid() || scan_.key() != key)) {
    // Most likely in the middle of a block, which begins before. At worst this steps back to the head.
    scan_.SeekBefore(key);
    if (scan_.Valid() && Read() && info_.end_sequence() > from && info_.first_sequence >= head_sequence) {
      valid_ = true;
      return;
    }
    scan_.Seek(key);
  }
  Settle();
}

void LaneScan::Next() {
  scan_.Next();
  Settle();
}

void LaneScan::Settle() {
  valid_ = false;
  while (scan_.Valid()) {
    if (Read()) {
      valid_ = true;
      return;
    }
    if (on_damaged) on_damaged(scan_.key(), scan_.value());
    scan_.Next();
  }
}

bool LaneScan::Read() {
  const auto key = ParseBlockKey(scan_.key());
  if (!key) return false;
  const auto header = ReadBlockHeader(scan_.key(), scan_.value());
  if (!header) return false;
  header_ = *header;
  info_ = {.first_sequence = key->first_sequence,
           .edge_ms = header->edge_ms,
           .records_before = header->records_before,
           .bytes_before = header->bytes_before,
           .record_count = header->record_count,
           .bytes = static_cast<uint32_t>(BlockRecordBytes(*header, scan_.value())),
           .ttl_seconds = header->ttl_seconds,
           .hole = header->hole};
  return true;
}

}  // namespace holdfast::store
