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

// A lane's checkpoint.
struct LanePosition {
  uint32_t priority = 0;
  uint64_t sequence = 0;
  bool operator==(const LanePosition&) const = default;
};

// What lies between the store and the hub: blocks that wait, messages in flight, the checkpoint behind the last
// contiguous acknowledgement. Outlives connections. No I/O: it writes PUBLISH packets into buffers and is told what
// came back. Not thread-safe.
//
//   committed <= done <= next, counted in messages since the start:
//     [committed, done)  acknowledged, checkpoint not yet in the store
//     [done, next)       sent, at least the first of them unacknowledged
//   next - committed never exceeds count_max, so that a crash at any point repeats at most that many (P3).
class Window {
 public:
  struct Limits {
    // 1-32,768: packet identifiers come round after 65,535.
    uint32_t count_max = 4096;
    // Bytes of records in flight. One message is always let through.
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
  };

  struct Checkpoint {
    // Give it to OnCommitted.
    uint64_t number = 0;
    uint64_t epoch = 0;
    std::vector<LanePosition> positions;
  };

  Window(Limits limits, TopicTemplate topics);

  // Blocks of one lane come in order of sequence; after a break of the store's stream they may overlap with earlier
  // ones.
  void Add(Block block);

  // Appends PUBLISH packets to *out until the window or `out_bytes_max` bytes in *out is full, or nothing waits. Dead
  // letters are added to *dead. Returns the number of packets.
  size_t Fill(size_t out_bytes_max, std::string* out, std::vector<DeadLetter>* dead);

  // A new connection: appends everything in flight again, in order, DUP set, under the same identifiers. Returns their
  // number.
  size_t Redeliver(std::string* out);

  // Returns how many were in flight until now. Identifiers that are not in flight are ignored and counted.
  size_t OnPubacks(std::span<const uint16_t> packet_ids);
  void OnDeadLetterKept(uint64_t number);

  // What the store should be told: the lanes that moved since the last call. Nullopt if none did.
  std::optional<Checkpoint> TakeCheckpoint();
  void OnCommitted(uint64_t number);

  // Sent and not acknowledged.
  uint32_t in_flight() const { return in_flight_; }
  // Acknowledged, checkpoint not yet in the store.
  uint64_t uncommitted() const { return done_ - committed_; }
  // All that was sent is acknowledged.
  bool drained() const { return done_ == next_; }
  uint64_t done() const { return done_; }
  // No further message may be sent now.
  bool full() const { return next_ - committed_ >= limits_.count_max || bytes_in_flight_ >= limits_.bytes_max; }
  // Blocks held: bytes freed since the last call, for the store's stream to be read on.
  uint64_t TakeFreedBytes();
  uint64_t unknown_pubacks() const { return unknown_pubacks_; }

 private:
  enum class State : uint8_t { kInFlight, kDone, kDead };
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
    State state = State::kDone;
  };

  Entry& at(uint64_t number) { return ring_[number & mask_]; }
  // The next record to be sent; nullopt if none waits.
  bool NextRecord(Entry* entry);
  void BeginBlock();
  // "" or why it can't be published.
  std::string_view Encode(const Entry& entry, uint64_t number, bool dup, std::string* out);
  std::string_view BuildId(const Entry& entry);
  void Advance();
  void FreeBlocks();

  const Limits limits_;
  const TopicTemplate topics_;
  const uint64_t mask_;
  std::vector<Entry> ring_;

  uint64_t committed_ = 0;
  uint64_t done_ = 0;
  uint64_t next_ = 0;
  uint32_t in_flight_ = 0;
  uint64_t bytes_in_flight_ = 0;

  std::deque<std::unique_ptr<Held>> blocks_;
  // Index in blocks_ of the one that is being given out, and what is left of it.
  size_t current_ = 0;
  bool begun_ = false;
  std::string_view rest_;
  uint64_t sequence_ = 0;
  uint64_t freed_bytes_ = 0;

  uint64_t epoch_ = 0;
  // By priority: highest sequence given out; checkpoint; lanes whose checkpoint moved.
  absl::flat_hash_map<uint32_t, uint64_t> given_;
  absl::flat_hash_map<uint32_t, uint64_t> moved_;

  std::string topic_;
  std::string id_;
  uint64_t unknown_pubacks_ = 0;
};

}  // namespace holdfast::uplink
