#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "services/store/block.h"
#include "services/store/database.h"
#include "services/store/edge_clock.h"
#include "services/store/encryption.h"
#include "services/store/feed.h"
#include "services/store/tail_cache.h"

namespace holdfast::store {

// Records that a reader found gone or too old, for the committer to count and to mark on disk.
struct Loss {
  uint32_t priority = 0;
  uint64_t first_sequence = 0;
  uint64_t records_before = 0;
  uint64_t bytes_before = 0;
  uint32_t record_count = 0;
  bool expired = false;  // else damaged
};

// One consumer's place in a queue. Gives the blocks behind its checkpoint in order of priority, then of sequence: from
// the tail cache if it reaches back that far, else from disk, some blocks at a time. Not thread-safe.
class PullCursor {
 public:
  // The references must outlive it.
  PullCursor(Database& database, const Encryption& encryption, const TailCache& tail, EdgeClock& clock,
             std::shared_ptr<const Feed> feed, const std::vector<Checkpoint>& checkpoints);

  struct Step {
    BlockPtr block;      // null: nothing now
    uint32_t skip = 0;   // leading records at or before the checkpoint
    bool again = false;  // if block is null: there is more to look at, call again soon
  };
  // Never waits for more than one read-ahead from disk. Appends what it had to skip to `losses`.
  Step Next(std::vector<Loss>* losses);

 private:
  struct Place {
    uint32_t priority = 0;
    uint64_t next_sequence = 1;
    uint64_t records_before =
        0;  // of the lane, up to there: where the numbers of blocks do not fit, records are missing
  };
  Place& PlaceIn(const Feed::Lane& lane);
  BlockPtr Load(const Feed::Lane& lane, const Place& place, bool* unavailable);
  void ReadAhead(const Feed::Lane& lane, const Place& place, bool* unavailable);
  BlockPtr Open(uint32_t priority, uint64_t first_sequence, BlockHeader header, std::string_view key,
                std::string_view value) const;
  static bool Misses(const BlockPtr& block, const Feed::Lane& lane, const Place& place);
  BlockPtr ReadAgain(const Feed::Lane& lane, const Place& place, BlockPtr found, bool* unavailable);
  bool Examine(const BlockPtr& block, const Feed::Lane& lane, int32_t ttl_seconds, Place* place, Step* step,
               std::vector<Loss>* losses);

  Database& database_;
  const Encryption& encryption_;
  const TailCache& tail_;
  EdgeClock& clock_;
  const std::shared_ptr<const Feed> feed_;
  std::vector<Place> places_;
  uint32_t ahead_priority_ = 0;
  std::deque<BlockPtr> ahead_;
};

}  // namespace holdfast::store
