#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "services/store/block.h"
#include "services/store/database.h"
#include "services/store/disk_format.h"
#include "services/store/encryption.h"
#include "services/store/feed.h"
#include "services/store/pull_cursor.h"
#include "services/store/transaction.h"

namespace holdfast::store {

inline constexpr size_t kConsumersPerQueueMax = 64;

// Why records end without having been passed by a consumer.
enum class DropReason { kExpired, kFull, kCorrupt, kOperator };

// The committing side of a queue: its counters, its consumers' checkpoints, and which blocks it holds. Memory does not
// grow with the backlog: only the newest blocks' places are kept (`recent`), the rest is looked up on disk. Every
// change goes into a Transaction's batch; if that batch fails, the object is thrown away and loaded again. Not
// thread-safe.
class Queue {
 public:
  struct Consumer {
    std::string name;
    std::vector<Checkpoint> checkpoints;
  };

  // `total_bytes` counts what all queues hold; this one adds its part.
  Queue(uint64_t id, QueueInfo info, QueueCounters counters, const Database* database, const Encryption* encryption,
        uint64_t* total_bytes, std::shared_ptr<Feed> feed);

  uint64_t id() const { return id_; }
  const QueueInfo& info() const { return info_; }
  const QueueCounters& counters() const { return counters_; }
  const std::vector<Consumer>& consumers() const { return consumers_; }
  Feed& feed() { return *feed_; }
  const std::shared_ptr<Feed>& shared_feed() const { return feed_; }

  // Bytes of the blocks held.
  uint64_t bytes() const;
  // Records held that some consumer has still to pass (all, if there is no consumer).
  uint64_t records() const;
  static uint64_t LaneRecords(const LaneCounters& lane);
  static uint64_t LaneBytes(const LaneCounters& lane) { return lane.total_bytes - lane.head_bytes; }
  uint64_t LagRecords(const Consumer& consumer) const;
  // Edge clock at which the oldest block of the lane was committed; nullopt if it is empty. May read from disk once.
  std::optional<uint64_t> OldestEdgeMs(uint32_t priority);
  // The same over all lanes, of blocks held whether passed or not; UINT64_MAX if there is none, 0 if it can't be told.
  uint64_t OldestBlockEdgeMs();

  // Settings with the store's defaults in place of 0.
  int32_t ttl_seconds(int32_t default_seconds) const;

  // Gives the block its sequence and its header. Precondition: a valid priority, a well-formed block.
  uint64_t Append(Transaction& tx, std::shared_ptr<Block> block);

  // Drops the oldest block of the least important lane. False if the queue is empty.
  bool DropOldest(Transaction& tx);

  // Moves checkpoints forward, and the heads when all consumers have passed. NOT_FOUND for an unknown consumer,
  // INVALID_ARGUMENT for a sequence that is not assigned yet.
  absl::Status CheckCommit(std::string_view consumer, const std::vector<Checkpoint>& positions) const;
  void Commit(Transaction& tx, std::string_view consumer, const std::vector<Checkpoint>& positions);

  // The consumer, registered with nothing passed if it is new. RESOURCE_EXHAUSTED if there are too many.
  absl::StatusOr<const Consumer*> Register(Transaction& tx, std::string_view consumer);
  const Consumer* FindConsumer(std::string_view consumer) const;
  absl::Status DeleteConsumer(Transaction& tx, std::string_view consumer);

  // Removes all records of one priority, or of all. Returns their number.
  uint64_t Purge(Transaction& tx, std::optional<uint32_t> priority);

  void Configure(Transaction& tx, const Settings& settings);

  // Removes expired blocks and holes at the heads, at most `blocks_max`. Returns the number of blocks looked at and
  // removed.
  size_t Sweep(Transaction& tx, int32_t default_ttl_seconds, size_t blocks_max);

  // Counts records that a reader found lost, and marks their place, so that they are counted once. Returns the number
  // of records newly counted as damaged.
  uint64_t MarkLoss(Transaction& tx, const Loss& loss, int32_t default_ttl_seconds);

  // Deletes from disk, at most `keys_max`, blocks before the heads. Returns the number deleted.
  size_t CollectGarbage(Transaction& tx, size_t keys_max);
  bool has_garbage() const;
  // Blocks that were deleted may be there.
  void LookForGarbage();

  // Only while loading.
  void AddConsumer(Consumer consumer) { consumers_.push_back(std::move(consumer)); }
  // After a repair: makes the counters fit the blocks that are there, and moves the numbering on by `margin`.
  void Recount(Transaction& tx, uint64_t margin);

  // After the group: forgets places of blocks beyond `recent_max` per lane, and publishes to the feed.
  void Publish(int32_t default_ttl_seconds);
  std::string Encoded() const { return Encode(info_, counters_); }

 private:
  struct Lane {
    std::deque<BlockInfo> recent;   // the newest blocks, without a gap up to the last one
    std::optional<BlockInfo> head;  // the first block held, once it was looked up
  };

  LaneCounters* FindCounters(uint32_t priority);
  LaneCounters& CountersOf(uint32_t priority);
  Lane& LaneOf(uint32_t priority);
  uint64_t PassedByAll(uint32_t priority, uint64_t Checkpoint::*field) const;

  // Calls `visit` for the blocks that end behind `sequence`, in order, until it returns false.
  void Walk(const LaneCounters& counters, uint64_t sequence, const std::function<bool(const BlockInfo&)>& visit);
  std::optional<BlockInfo> FindBlock(const LaneCounters& counters, uint64_t sequence);
  std::optional<BlockInfo> Head(const LaneCounters& counters);

  // Makes `target` the first block held; nullopt = the lane is empty from now on.
  void MoveHead(Transaction& tx, LaneCounters& counters, const std::optional<BlockInfo>& target);
  // Moves the heads to where all consumers are.
  void MoveHeadsToCheckpoints(Transaction& tx);
  void WriteConsumer(Transaction& tx, const Consumer& consumer) const;
  void Touch(Transaction& tx) const { tx.touched_queues.insert(id_); }

  const uint64_t id_;
  QueueInfo info_;
  QueueCounters counters_;
  const Database* const database_;
  const Encryption* const encryption_;
  uint64_t* const total_bytes_;  // of all queues
  const std::shared_ptr<Feed> feed_;
  std::vector<Lane> lanes_;  // beside counters_.lanes
  std::vector<Consumer> consumers_;
};

}  // namespace holdfast::store
