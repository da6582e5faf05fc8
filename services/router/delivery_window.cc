#include "services/router/delivery_window.h"

#include <algorithm>

#include "lib/mqtt/packet_id.h"

namespace holdfast::router {

bool DeliveryWindow::Full() const {
  // What was sent on an earlier connection takes no room: it may lie behind what is more urgent, and must be reached.
  return in_flight_ >= limits_.in_flight_max || open_ - waiting_ >= limits_.open_max;
}

DeliveryWindow::Lane* DeliveryWindow::FindLane(uint32_t priority) {
  const auto it = std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& l) { return l.priority == priority; });
  return it == lanes_.end() ? nullptr : &*it;
}

DeliveryWindow::Lane* DeliveryWindow::FindOrMakeLane(uint32_t priority) {
  if (Lane* const lane = FindLane(priority); lane != nullptr) return lane;
  return &lanes_.emplace_back(Lane{.priority = priority});
}

std::deque<DeliveryWindow::Entry>::iterator DeliveryWindow::Find(std::deque<Entry>* entries, uint64_t sequence) {
  return std::lower_bound(entries->begin(), entries->end(), sequence,
                          [](const Entry& entry, uint64_t s) { return entry.sequence < s; });
}

uint16_t DeliveryWindow::NextId() {
  while (true) {
    const uint16_t id = mqtt::PacketIdOf(next_id_++);
    if (!ids_.contains(id)) return id;
  }
}

void DeliveryWindow::SetDone(Lane* lane, Entry* entry) {
  if (entry->packet_id != 0) ids_.erase(entry->packet_id);
  in_flight_ -= entry->state == State::kInFlight;
  writing_ -= entry->state == State::kWriting;
  waiting_ -= Waits(entry->state);
  entry->packet_id = 0;
  entry->state = State::kDone;
}

void DeliveryWindow::Advance(Lane* lane) {
  while (lane->done < lane->entries.size() && lane->entries[lane->done].state == State::kDone) ++lane->done;
}

DeliveryWindow::Entry* DeliveryWindow::Reach(Lane* lane, uint64_t sequence, bool* is_new) {
  *is_new = false;
  if (sequence <= lane->committed) return nullptr;
  if (waiting_ > 0) {
    // Expired or purged meanwhile: the stream would have given them first.
    for (size_t i = lane->done; i < lane->entries.size() && lane->entries[i].sequence < sequence; ++i) {
      if (Waits(lane->entries[i].state)) SetDone(lane, &lane->entries[i]);
    }
    Advance(lane);
  }
  const auto it = Find(&lane->entries, sequence);
  if (it != lane->entries.end() && it->sequence == sequence) return &*it;
  *is_new = true;
  ++open_;
  // At the end, as a rule.
  lane->done = std::min(lane->done, static_cast<size_t>(it - lane->entries.begin()));
  return &*lane->entries.insert(it, Entry{.sequence = sequence});
}

void DeliveryWindow::Send(Lane* lane, Entry* entry, uint8_t qos, Delivery* delivery) {
  waiting_ -= Waits(entry->state);
  if (qos == 0) {
    if (entry->packet_id != 0) ids_.erase(entry->packet_id);
    entry->packet_id = 0;
    entry->state = State::kWriting;
    ++writing_;
    *delivery = {};
    return;
  }
  delivery->dup = entry->state == State::kAgain;
  if (entry->packet_id == 0) {
    entry->packet_id = NextId();
    ids_[entry->packet_id] = {.priority = lane->priority, .sequence = entry->sequence};
  }
  delivery->packet_id = entry->packet_id;
  entry->state = State::kInFlight;
  ++in_flight_;
}

std::optional<DeliveryWindow::Delivery> DeliveryWindow::Admit(uint32_t priority, uint64_t sequence, uint8_t qos) {
  Lane* const lane = FindOrMakeLane(priority);
  bool is_new = false;
  Entry* const entry = Reach(lane, sequence, &is_new);
  if (entry == nullptr || (!is_new && !Waits(entry->state))) return std::nullopt;
  Delivery delivery;
  Send(lane, entry, qos, &delivery);
  return delivery;
}

void DeliveryWindow::Settle(uint32_t priority, uint64_t sequence) {
  Lane* const lane = FindOrMakeLane(priority);
  bool is_new = false;
  Entry* const entry = Reach(lane, sequence, &is_new);
  if (entry == nullptr) return;
  if (!is_new) SetDone(lane, entry);
  Advance(lane);
}

bool DeliveryWindow::OnPuback(uint16_t packet_id) {
  const auto it = ids_.find(packet_id);
  if (it == ids_.end()) return false;
  Lane* const lane = FindLane(it->second.priority);
  SetDone(lane, &*Find(&lane->entries, it->second.sequence));
  Advance(lane);
  return true;
}

void DeliveryWindow::OnWritten() {
  if (writing_ == 0) return;
  for (Lane& lane : lanes_) {
    for (size_t i = lane.entries.size(); i > lane.done && writing_ > 0; --i) {
      if (lane.entries[i - 1].state == State::kWriting) SetDone(&lane, &lane.entries[i - 1]);
    }
    Advance(&lane);
  }
}

void DeliveryWindow::Return(Lane* lane, State from, State to) {
  for (Entry& entry : lane->entries) {
    if (entry.state != from) continue;
    waiting_ += !Waits(from);
    in_flight_ -= from == State::kInFlight;
    writing_ -= from == State::kWriting;
    entry.state = to;
    if (to == State::kAgain || entry.packet_id == 0) continue;
    ids_.erase(entry.packet_id);
    entry.packet_id = 0;
  }
  while (!lane->entries.empty() && lane->entries.back().state == State::kUnsent) {
    lane->entries.pop_back();
    --open_;
    --waiting_;
  }
}

void DeliveryWindow::OnDisconnected() {
  for (Lane& lane : lanes_) {
    Return(&lane, State::kWriting, State::kUnsent);
    Return(&lane, State::kInFlight, State::kAgain);
  }
}

void DeliveryWindow::ForgetUnacknowledged() {
  for (Lane& lane : lanes_) {
    for (const State state : {State::kWriting, State::kInFlight, State::kAgain}) Return(&lane, state, State::kUnsent);
  }
}

void DeliveryWindow::Reset() {
  lanes_.clear();
  ids_.clear();
  open_ = in_flight_ = writing_ = waiting_ = 0;
}

bool DeliveryWindow::HasCheckpoint() const {
  return std::any_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) {
    return lane.done > 0 && lane.entries[lane.done - 1].sequence > lane.committing;
  });
}

std::vector<DeliveryWindow::Position> DeliveryWindow::TakeCheckpoint() {
  std::vector<Position> positions;
  for (Lane& lane : lanes_) {
    if (lane.done == 0 || lane.entries[lane.done - 1].sequence <= lane.committing) continue;
    lane.committing = lane.entries[lane.done - 1].sequence;
    positions.push_back({.priority = lane.priority, .sequence = lane.committing});
  }
  return positions;
}

void DeliveryWindow::OnCommitted() {
  for (Lane& lane : lanes_) {
    lane.committed = lane.committing;
    while (lane.done > 0 && lane.entries.front().sequence <= lane.committed) {
      lane.entries.pop_front();
      --lane.done;
      --open_;
    }
  }
}

void DeliveryWindow::OnCommitFailed() {
  for (Lane& lane : lanes_) lane.committing = lane.committed;
}

}  // namespace holdfast::router
