#include "services/store/pull_cursor.h"

#include <algorithm>

#include "services/store/lane_scan.h"

namespace holdfast::store {
namespace {

constexpr size_t kReadAheadBytesMax = 512 << 10;
constexpr size_t kReadAheadBlocksMax = 128;
// Blocks that Next() passes over (expired, holes) before it lets others have a turn.
constexpr int kSkippedBlocksMax = 128;

}  // namespace

PullCursor::PullCursor(Database& database, const Encryption& encryption, const TailCache& tail, EdgeClock& clock,
                       std::shared_ptr<const Feed> feed, const std::vector<Checkpoint>& checkpoints)
    : database_(database), encryption_(encryption), tail_(tail), clock_(clock), feed_(std::move(feed)) {
  for (const Checkpoint& checkpoint : checkpoints) {
    places_.push_back({checkpoint.priority, checkpoint.sequence + 1, checkpoint.passed_records});
  }
}

PullCursor::Place& PullCursor::PlaceIn(const Feed::Lane& lane) {
  auto place =
      std::find_if(places_.begin(), places_.end(), [&](const Place& p) { return p.priority == lane.priority; });
  if (place == places_.end()) place = places_.insert(places_.end(), {lane.priority, 0, 0});
  if (place->next_sequence < lane.head_sequence) {
    place->next_sequence = lane.head_sequence;
    place->records_before = lane.head_records;
  }
  return *place;
}

PullCursor::Step PullCursor::Next(std::vector<Loss>* losses) {
  const Feed::Snapshot snapshot = feed_->Read();
  Step step;
  int skipped = 0;
  for (const Feed::Lane& lane : snapshot.lanes) {
    Place& place = PlaceIn(lane);
    while (place.next_sequence < lane.end_sequence) {
      bool unavailable = false;
      BlockPtr block = Load(lane, place, &unavailable);
      if (!unavailable && Misses(block, lane, place)) block = ReadAgain(lane, place, std::move(block), &unavailable);
      if (unavailable) return step;  // The database is being reopened; the queue is published again after that.
      if (Examine(block, lane, snapshot.ttl_seconds, &place, &step, losses)) return step;
      if (++skipped >= kSkippedBlocksMax) {
        step.again = true;
        return step;
      }
    }
  }
  return step;
}

// True if there were records between the place and `block`.
bool PullCursor::Misses(const BlockPtr& block, const Feed::Lane& lane, const Place& place) {
  const uint64_t found_before = block != nullptr ? block->header.records_before : lane.total_records;
  return found_before > place.records_before && (block == nullptr || block->first_sequence > place.next_sequence);
}

// The disk may have failed to read for once: what is missing is looked for again. Gives `found` if it is really gone.
BlockPtr PullCursor::ReadAgain(const Feed::Lane& lane, const Place& place, BlockPtr found, bool* unavailable) {
  const std::string key = BlockKey(feed_->queue_id(), lane.priority, place.next_sequence);
  auto value = database_.Get(key);
  *unavailable = absl::IsUnavailable(value.status());
  const auto header = value.ok() ? ReadBlockHeader(key, *value) : std::nullopt;
  if (!header) return found;
  BlockPtr block = Open(lane.priority, place.next_sequence, *header, key, *value);
  if (block == nullptr) return found;
  ahead_.clear();
  return block;
}

// A block from disk, its records opened if they are sealed; null if they do not open.
BlockPtr PullCursor::Open(uint32_t priority, uint64_t first_sequence, BlockHeader header, std::string_view key,
                          std::string_view value) const {
  auto block = std::make_shared<Block>();
  if (!encryption_.OpenBlock(key, header, value, &block->value).ok()) return nullptr;
  header.sealed = false;
  block->priority = priority;
  block->first_sequence = first_sequence;
  block->header = header;
  return block;
}

// Moves on past `block` (null: past all that is left of the lane). True if it is to be sent.
bool PullCursor::Examine(const BlockPtr& block, const Feed::Lane& lane, int32_t ttl_seconds, Place* place, Step* step,
                         std::vector<Loss>* losses) {
  if (Misses(block, lane, *place)) {
    const uint64_t found_before = block != nullptr ? block->header.records_before : lane.total_records;
    losses->push_back(
        {.priority = lane.priority,
         .first_sequence = place->next_sequence,
         .records_before = place->records_before,
         .bytes_before = block != nullptr ? block->header.bytes_before : lane.total_bytes,
         .record_count = static_cast<uint32_t>(std::min<uint64_t>(found_before - place->records_before, UINT32_MAX))});
  }
  if (block == nullptr) {
    place->next_sequence = lane.end_sequence;
    place->records_before = std::max(place->records_before, lane.total_records);
    return false;
  }
  const uint64_t skip = place->next_sequence > block->first_sequence ? place->next_sequence - block->first_sequence : 0;
  place->next_sequence = block->last_sequence() + 1;
  place->records_before = block->header.records_before + block->header.record_count;
  if (block->header.hole) return false;
  if (IsExpired(block->header.edge_ms, block->header.ttl_seconds, ttl_seconds, clock_.NowMs())) {
    losses->push_back({.priority = lane.priority,
                       .first_sequence = block->first_sequence,
                       .records_before = block->header.records_before,
                       .bytes_before = block->header.bytes_before,
                       .record_count = block->header.record_count,
                       .expired = true});
    return false;
  }
  step->block = block;
  step->skip = static_cast<uint32_t>(skip);
  return true;
}

BlockPtr PullCursor::Load(const Feed::Lane& lane, const Place& place, bool* unavailable) {
  if (BlockPtr block = tail_.Find(feed_->queue_id(), lane.priority, place.next_sequence); block != nullptr) {
    if (ahead_priority_ == lane.priority) ahead_.clear();
    // The cache may hold a block of a group that is published in a moment.
    return block->first_sequence < lane.end_sequence ? block : nullptr;
  }
  if (ahead_priority_ != lane.priority) ahead_.clear();
  while (!ahead_.empty() && ahead_.front()->last_sequence() < place.next_sequence) ahead_.pop_front();
  if (ahead_.empty()) ReadAhead(lane, place, unavailable);
  if (ahead_.empty()) return nullptr;
  BlockPtr block = std::move(ahead_.front());
  ahead_.pop_front();
  return block;
}

void PullCursor::ReadAhead(const Feed::Lane& lane, const Place& place, bool* unavailable) {
  ahead_priority_ = lane.priority;
  LaneScan scan(database_, feed_->queue_id(), lane.priority);
  if (!scan.status().ok()) {
    *unavailable = true;
    return;
  }
  scan.on_damaged = [this](std::string_view key, std::string_view value) { database_.KeepDamagedBlock(key, value); };
  size_t bytes = 0;
  for (scan.Seek(place.next_sequence, lane.head_sequence); scan.Valid(); scan.Next()) {
    if (scan.info().first_sequence >= lane.end_sequence) break;
    BlockPtr block = Open(lane.priority, scan.info().first_sequence, scan.header(), scan.key(), scan.value());
    if (block == nullptr) {
      // Left out like one with a wrong checksum: the numbers of the next one tell what is missing.
      database_.KeepDamagedBlock(scan.key(), scan.value());
      continue;
    }
    bytes += block->value.size();
    ahead_.push_back(std::move(block));
    if (bytes >= kReadAheadBytesMax || ahead_.size() >= kReadAheadBlocksMax) break;
  }
}

}  // namespace holdfast::store
