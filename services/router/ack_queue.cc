#include "services/router/ack_queue.h"

#include <algorithm>

#include "lib/mqtt/packet.h"

namespace holdfast::router {

void AckQueue::Grow() {
  std::vector<Entry> bigger(ring_.size() * 2);
  for (uint64_t t = front_; t != next_; ++t) bigger[t & (bigger.size() - 1)] = At(t);
  ring_.swap(bigger);
}

uint64_t AckQueue::Push(uint16_t packet_id, uint32_t outstanding) {
  if (size() == ring_.size()) Grow();
  At(next_) = {.packet_id = packet_id, .outstanding = outstanding};
  return next_++;
}

void AckQueue::SetOutstanding(uint64_t ticket, uint32_t outstanding) {
  At(ticket).outstanding = outstanding;
}

void AckQueue::Committed(uint64_t first_ticket, uint32_t count) {
  const uint64_t end = std::min(first_ticket + count, next_);
  for (uint64_t t = std::max(first_ticket, front_); t < end; ++t) {
    Entry& entry = At(t);
    if (entry.outstanding > 0) --entry.outstanding;
  }
}

size_t AckQueue::PopDone(std::string* output) {
  const uint64_t before = front_;
  for (; front_ != next_ && At(front_).outstanding == 0; ++front_) {
    if (At(front_).packet_id != 0) mqtt::AppendPuback(At(front_).packet_id, output);
  }
  return static_cast<size_t>(front_ - before);
}

}  // namespace holdfast::router
