#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/base/string_map.h"
#include "services/uplink/topic_template.h"

namespace holdfast::uplink {

// A block of records as the store sent it.
struct Block {
  std::string records;
  uint64_t first_sequence = 0;
  uint32_t priority = 0;
  // Leading records that are done with.
  uint32_t skip = 0;
  // Counts the incarnations of the queue that this process met: positions of another epoch are void.
  uint64_t epoch = 0;
  // "<queue incarnation>-": the first part of the records' stable ids.
  std::string id_prefix;
};

// A priority's checkpoint.
struct Position {
  uint32_t priority = 0;
  uint64_t sequence = 0;
  bool operator==(const Position&) const = default;
};

// A lane: messages that travel over one connection, one behind the other. Small numbers, used again after Forget.
using LaneId = uint32_t;
inline constexpr LaneId kOnlyLane = 0;

// What lies between the store and the hub: blocks that wait, messages in flight, the checkpoint behind the last
// contiguous acknowledgement over all lanes. Outlives connections. No I/O: it writes PUBLISH packets into buffers and
// is told what came back. Not thread-safe.
//
//   committed <= done <= next, counted in messages since the start:
//     [committed, done)  acknowledged, checkpoint not yet in the store
//     [done, next)       in their lanes: waiting, sent, or acknowledged behind one that is not
//   next - committed never exceeds count_max, so that a crash at any point repeats at most that many (P3); a lane that
//   stands still holds the others up only when that is reached.
//
// Each lane numbers its messages on its own: packet identifiers, redelivery and the number in flight are the lane's.
class Window {
 public:
  enum class Spread : uint8_t {
    kOneLane,     // everything in kOnlyLane
    kByIdentity,  // a lane for each device and each module, named "device" or "device/module"
  };

  struct Limits {
    // 1-32,768: packet identifiers come round after 65,535.
    uint32_t count_max = 4096;
    // Bytes of records in lanes. One message is always let through.
    uint64_t bytes_max = 4 << 20;
    // Largest PUBLISH that is sent; a larger message is a dead letter.
    uint64_t packet_bytes_max = 1 << 20;
  };

  // A message that can't be published, ever: to be kept elsewhere, then OnDeadLetterKept.
  struct DeadLetter {
    uint64_t number = 0;
    uint32_t priority = 0;
    std::string record;
    std::string id;
    std::string reason;
    // Somebody has told already why: no line in the log for each message.
    bool told = false;
  };
  using DeadLetters = std::vector<DeadLetter>;

  struct Checkpoint {
    // Give it to OnCommitted.
    uint64_t number = 0;
    uint64_t epoch = 0;
    std::vector<Position> positions;
  };

  struct Filled {
    size_t packets = 0;
    size_t repeated = 0;  // of them, sent before on another connection
  };

  Window(Limits limits, TopicTemplate topics, Spread spread = Spread::kOneLane);

  // Blocks of one priority come in order of sequence; after a break of the store's stream they may overlap with earlier
  // ones.
  void Add(Block block);

  // Takes records out of the blocks into their lanes, until the window is full, nothing waits, or `bytes_max` bytes
  // were taken: what is sent soon is still in the processor's cache then. Lanes in which nothing waited before are
  // added to *woken, unreadable records to *dead.
  void Admit(std::vector<LaneId>* woken, DeadLetters* dead, uint64_t bytes_max = UINT64_MAX);

  // Appends PUBLISH packets of the lane to *out until `lane_count_max` are in flight there, `out_bytes_max` bytes are
  // in *out, or nothing waits. What can't be published is added to *dead.
  Filled Fill(LaneId lane, uint32_t lane_count_max, size_t out_bytes_max, std::string* out, DeadLetters* dead);

  // The lane's connection is gone: what was in flight waits again, to be sent in order, DUP set, under the same
  // identifiers.
  void Rewind(LaneId lane);

  // Returns how many were in flight until now. Identifiers that are not in flight are ignored and counted.
  size_t OnPubacks(LaneId lane, std::span<const uint16_t> packet_ids);

  // Makes dead letters of the first `count_max` messages of a rewound lane. Returns their number.
  size_t SetAside(LaneId lane, size_t count_max, std::string_view reason, DeadLetters* dead);
  void OnDeadLetterKept(uint64_t number);

  // The lane of that name; made, if there is none.
  LaneId OpenLane(std::string_view name);
  std::optional<LaneId> FindLane(std::string_view name) const;
  // Frees the number of an empty lane.
  void Forget(LaneId lane);

  // What the store should be told: the priorities that moved since the last call. Nullopt if none did.
  std::optional<Checkpoint> TakeCheckpoint();
  void OnCommitted(uint64_t number);

  // Sent and not acknowledged, over all lanes.
  uint32_t in_flight() const { return in_flight_; }
  // Acknowledged, checkpoint not yet in the store.
  uint64_t uncommitted() const { return done_ - committed_; }
  // All that was let in is acknowledged.
  bool drained() const { return done_ == next_; }
  uint64_t done() const { return done_; }
  // No further message may be let in now.
  bool full() const { return next_ - committed_ >= limits_.count_max || bytes_ >= limits_.bytes_max; }
  // Blocks held: bytes freed since the last call, for the store's stream to be read on.
  uint64_t TakeFreedBytes();
  uint64_t unknown_pubacks() const { return unknown_pubacks_; }

  // Of one lane. `waiting`: in the lane and not sent. `empty`: nothing waits, nothing is unacknowledged.
  const std::string& name(LaneId lane) const { return lanes_[lane].name; }
  uint32_t in_flight(LaneId lane) const { return lanes_[lane].in_flight; }
  uint64_t waiting(LaneId lane) const { return lanes_[lane].end - lanes_[lane].sent; }
  uint64_t unacknowledged(LaneId lane) const { return lanes_[lane].end - lanes_[lane].begin; }
  bool empty(LaneId lane) const { return lanes_[lane].begin == lanes_[lane].end; }
  // Counts what left the lane, in order. The number of the next message to be sent.
  uint64_t lane_done(LaneId lane) const { return lanes_[lane].begin; }
  uint64_t lane_sent(LaneId lane) const { return lanes_[lane].sent; }
  size_t lane_count() const { return lanes_.size(); }
  // The lane behind whose first message all checkpoints wait; nullopt if nothing waits, or it waits to be set aside.
  std::optional<LaneId> holder() const;

 private:
  enum class State : uint8_t { kWaiting, kInFlight, kDone, kDead };
  struct Held {
    Block block;
    // Records given out and not done.
    uint32_t open = 0;
    bool given_out = false;  // entirely
  };
  struct Entry {
    Held* held = nullptr;
    std::string_view record;
    uint64_t sequence = 0;
    LaneId lane = 0;
    State state = State::kDone;
    bool repeated = false;
  };
  //   begin <= sent <= end, counted in messages of the lane:
  //     [begin, sent)  at least the first of them unacknowledged
  //     [sent, end)    waiting
  struct Lane {
    std::string name;
    uint64_t begin = 0;
    uint64_t sent = 0;
    uint64_t end = 0;
    uint32_t in_flight = 0;
    // Message n of the lane is entry numbers[n % size] of the window; a power of two, at least end - begin.
    std::vector<uint64_t> numbers;
  };

  Entry& at(uint64_t number) { return ring_[number & mask_]; }
  // The next record to be sent; nullopt if none waits.
  bool NextRecord(Entry* entry);
  void BeginBlock();
  static uint64_t& number(Lane& lane, uint64_t n) { return lane.numbers[n & (lane.numbers.size() - 1)]; }
  // The lane of the record's sender; kNoLane if it is no envelope.
  LaneId LaneOf(std::string_view record);
  void Push(Lane* lane, uint64_t number);
  void Bury(uint64_t number, std::string_view reason, bool told, DeadLetters* dead);
  // "" or why it can't be published. `n`: the message's number in its lane.
  std::string_view Encode(const Entry& entry, uint64_t n, std::string* out);
  std::string_view BuildId(const Entry& entry);
  void Advance();
  void AdvanceLane(Lane* lane);
  // Moves lane->sent over messages that need no sending any more.
  void SkipSettled(Lane* lane);
  void FreeBlocks();

  const Limits limits_;
  const TopicTemplate topics_;
  const Spread spread_;
  const uint64_t mask_;
  std::vector<Entry> ring_;

  std::vector<Lane> lanes_;
  std::vector<LaneId> free_lanes_;
  StringMap<LaneId> lane_by_name_;

  uint64_t committed_ = 0;
  uint64_t done_ = 0;
  uint64_t next_ = 0;
  uint32_t in_flight_ = 0;
  uint64_t bytes_ = 0;

  std::deque<std::unique_ptr<Held>> blocks_;
  // Index in blocks_ of the one that is being given out, and what is left of it.
  size_t current_ = 0;
  bool begun_ = false;
  std::string_view rest_;
  uint64_t sequence_ = 0;
  uint64_t freed_bytes_ = 0;

  uint64_t epoch_ = 0;
  // By priority: highest sequence given out; checkpoints that moved.
  absl::flat_hash_map<uint32_t, uint64_t> given_;
  absl::flat_hash_map<uint32_t, uint64_t> moved_;

  std::string topic_;
  std::string id_;
  std::string name_;
  uint64_t unknown_pubacks_ = 0;
};

}  // namespace holdfast::uplink
