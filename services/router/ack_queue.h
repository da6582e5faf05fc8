#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace holdfast::router {

// The messages of one session whose fate is open, in the order in which they came: PUBACKs leave in that order
// (MQTT 3.1.1, 4.6), whatever the order of commits. Not thread-safe.
class AckQueue {
 public:
  AckQueue() : ring_(kInitialSize) {}

  // A message that waits for `outstanding` commits. packet_id 0 = QoS 0: counted, not acknowledged. Returns its ticket:
  // they rise by one.
  uint64_t Push(uint16_t packet_id, uint32_t outstanding);
  void SetOutstanding(uint64_t ticket, uint32_t outstanding);

  // One commit for each of `count` tickets from `first_ticket` on. Tickets that were never given out are ignored.
  void Committed(uint64_t first_ticket, uint32_t count);

  // Takes out what waits for nothing, from the front, and appends its PUBACKs. Returns the number of messages.
  size_t PopDone(std::string* output);

  // Calls `f` with the packet identifier of each message that waits for a commit.
  template <typename F>
  void ForEachOpen(F f) const {
    for (uint64_t ticket = front_; ticket != next_; ++ticket) {
      const Entry& entry = ring_[ticket & (ring_.size() - 1)];
      if (entry.outstanding > 0 && entry.packet_id != 0) f(entry.packet_id);
    }
  }

  size_t size() const { return static_cast<size_t>(next_ - front_); }
  uint64_t next_ticket() const { return next_; }

 private:
  static constexpr size_t kInitialSize = 8;
  struct Entry {
    uint16_t packet_id = 0;
    uint32_t outstanding = 0;
  };
  Entry& At(uint64_t ticket) { return ring_[ticket & (ring_.size() - 1)]; }
  void Grow();

  // A power of two of them; ticket t is at t modulo size.
  std::vector<Entry> ring_;
  uint64_t front_ = 1;
  uint64_t next_ = 1;
};

}  // namespace holdfast::router
