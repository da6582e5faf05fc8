#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace holdfast::router {

// What of a client's queue is on its way to the client: packet identifiers, acknowledgements, and up to where the queue
// is done with. Holds no message: what has to be sent again comes from the store again. Pure, no I/O; not thread-safe.
//
// Records are offered as a Pull stream gives them: in order of sequence within a priority; a new stream begins anew, at
// or before the checkpoint.
class DeliveryWindow {
 public:
  struct Limits {
    // Sent at QoS 1 and not acknowledged.
    size_t in_flight_max = 64;
    // Sent and not committed: acknowledged ones count, too.
    size_t open_max = 8192;
  };
  struct Delivery {
    // 0 = QoS 0.
    uint16_t packet_id = 0;
    // It was sent to this client before (MQTT 3.1.1, 3.3.1.1).
    bool dup = false;
  };
  struct Position {
    uint32_t priority = 0;
    uint64_t sequence = 0;
    bool operator==(const Position&) const = default;
  };

  explicit DeliveryWindow(Limits limits) : limits_(limits) {}

  // Nothing may be admitted now: first there must be a PUBACK, or a commit.
  bool Full() const;
  // Takes the next record of the stream. Nullopt: it is on its way already, or was acknowledged. Not while Full().
  std::optional<Delivery> Admit(uint32_t priority, uint64_t sequence, uint8_t qos);
  // In place of Admit: the record can't be delivered, now or ever.
  void Settle(uint32_t priority, uint64_t sequence);

  // False if nothing with this identifier was sent.
  bool OnPuback(uint16_t packet_id);
  // All that was admitted with QoS 0 is out.
  void OnWritten();
  // What is not acknowledged will be admitted once more, with its identifier and DUP (MQTT 3.1.1, 4.4); what was
  // admitted with QoS 0 and not written, as new. The stream must begin anew.
  void OnDisconnected();
  // The client has a new session: identifiers of the old one mean nothing (MQTT 3.1.1, 3.1.2.4). The stream must begin
  // anew.
  void ForgetUnacknowledged();
  // The queue is another one: all sequences are void.
  void Reset();

  // Everything up to these positions is done with; empty if there is no news. One at a time: after it OnCommitted or
  // OnCommitFailed must come.
  std::vector<Position> TakeCheckpoint();
  void OnCommitted();
  // The positions will be part of the next one.
  void OnCommitFailed();

  // TakeCheckpoint() would give something.
  bool HasCheckpoint() const;
  // Nothing is known that a new window would not know.
  bool empty() const { return open_ == 0; }
  size_t in_flight() const { return in_flight_; }
  size_t open() const { return open_; }

 private:
  enum class State : uint8_t {
    kInFlight,  // sent at QoS 1, on this connection
    kWriting,   // handed over at QoS 0
    kAgain,     // sent on an earlier connection
    kUnsent,    // as if it had never been sent; here since later ones are done
    kDone,
  };
  struct Entry {
    uint64_t sequence = 0;
    uint16_t packet_id = 0;
    State state = State::kDone;
  };
  struct Lane {
    uint32_t priority = 0;
    // By sequence; all behind `committed`.
    std::deque<Entry> entries;
    // Leading entries that are done.
    size_t done = 0;
    uint64_t committing = 0;
    uint64_t committed = 0;
  };
  struct Place {
    uint32_t priority = 0;
    uint64_t sequence = 0;
  };

  Lane* FindLane(uint32_t priority);
  Lane* FindOrMakeLane(uint32_t priority);
  // The first one that is not before `sequence`.
  static std::deque<Entry>::iterator Find(std::deque<Entry>* entries, uint64_t sequence);
  static bool Waits(State state) { return state == State::kAgain || state == State::kUnsent; }
  // The entry of a sequence, made if it is new; those before it that the stream left out are done with. Nullptr: it was
  // committed.
  Entry* Reach(Lane* lane, uint64_t sequence, bool* is_new);
  void SetDone(Lane* lane, Entry* entry);
  void Send(Lane* lane, Entry* entry, uint8_t qos, Delivery* delivery);
  // Has entries of state `from` wait for the stream as `to`: kAgain or kUnsent.
  void Return(Lane* lane, State from, State to);
  static void Advance(Lane* lane);
  uint16_t NextId();

  const Limits limits_;
  std::vector<Lane> lanes_;
  // Identifiers in use.
  absl::flat_hash_map<uint16_t, Place> ids_;
  uint64_t next_id_ = 0;
  size_t open_ = 0;
  size_t in_flight_ = 0;
  size_t writing_ = 0;
  // kAgain or kUnsent.
  size_t waiting_ = 0;
};

}  // namespace holdfast::router
