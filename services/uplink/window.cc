#include "services/uplink/window.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <utility>

#include "lib/mqtt/packet.h"
#include "lib/mqtt/packet_id.h"
#include "lib/record/block.h"

namespace holdfast::uplink {
namespace {

constexpr uint8_t kQos = 1;
constexpr LaneId kNoLane = UINT32_MAX;
constexpr size_t kLaneNumbersMin = 8;

}  // namespace

Window::Window(Limits limits, TopicTemplate topics, Spread spread)
    : limits_(limits),
      topics_(std::move(topics)),
      spread_(spread),
      mask_(std::bit_ceil(limits.count_max) - 1),
      ring_(mask_ + 1) {
  if (spread_ == Spread::kOneLane) lanes_.emplace_back();
}

void Window::Add(Block block) {
  auto held = std::make_unique<Held>();
  held->block = std::move(block);
  blocks_.push_back(std::move(held));
}

void Window::BeginBlock() {
  Held& held = *blocks_[current_];
  Block& block = held.block;
  if (block.epoch != epoch_) {
    epoch_ = block.epoch;
    given_.clear();
    moved_.clear();
  }
  const uint64_t given = given_[block.priority];
  uint64_t skip = block.skip;
  if (given >= block.first_sequence) skip = std::max(skip, given - block.first_sequence + 1);
  BlockReader reader(block.records);
  rest_ = block.records;
  sequence_ = block.first_sequence;
  for (; skip > 0; --skip, ++sequence_) {
    const auto record = reader.Next();
    if (!record) break;
    rest_.remove_prefix(static_cast<size_t>(record->data() + record->size() - rest_.data()));
  }
  begun_ = true;
}

bool Window::NextRecord(Entry* entry) {
  while (current_ < blocks_.size()) {
    if (!begun_) BeginBlock();
    Held& held = *blocks_[current_];
    BlockReader reader(rest_);
    if (const auto record = reader.Next()) {
      rest_.remove_prefix(static_cast<size_t>(record->data() + record->size() - rest_.data()));
      *entry = Entry{.held = &held, .record = *record, .sequence = sequence_++, .state = State::kWaiting};
      ++held.open;
      given_[held.block.priority] = entry->sequence;
      return true;
    }
    held.given_out = true;
    begun_ = false;
    ++current_;
  }
  FreeBlocks();
  return false;
}

std::string_view Window::BuildId(const Entry& entry) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, entry.sequence).ptr;
  id_.assign(entry.held->block.id_prefix).append(digits, static_cast<size_t>(end - digits));
  return id_;
}

LaneId Window::LaneOf(std::string_view record) {
  EnvelopeView message;
  if (!ParseEnvelope(record, &message) || message.device_id.empty()) return kNoLane;
  name_.assign(message.device_id);
  if (!message.module_id.empty()) name_.append("/").append(message.module_id);
  return OpenLane(name_);
}

std::optional<LaneId> Window::FindLane(std::string_view name) const {
  const auto it = lane_by_name_.find(name);
  return it == lane_by_name_.end() ? std::nullopt : std::optional(it->second);
}

LaneId Window::OpenLane(std::string_view name) {
  if (const auto known = FindLane(name)) return *known;
  LaneId lane = static_cast<LaneId>(lanes_.size());
  if (free_lanes_.empty()) {
    lanes_.emplace_back();
  } else {
    lane = free_lanes_.back();
    free_lanes_.pop_back();
  }
  lanes_[lane].name = std::string(name);
  lane_by_name_.emplace(name, lane);
  return lane;
}

void Window::Forget(LaneId lane) {
  lane_by_name_.erase(lanes_[lane].name);
  lanes_[lane] = Lane{};
  free_lanes_.push_back(lane);
}

void Window::Push(Lane* lane, uint64_t number) {
  if (lane->end - lane->begin == lane->numbers.size()) {
    std::vector<uint64_t> larger(std::max(kLaneNumbersMin, lane->numbers.size() * 2));
    for (uint64_t n = lane->begin; n < lane->end; ++n) larger[n & (larger.size() - 1)] = Window::number(*lane, n);
    lane->numbers = std::move(larger);
  }
  Window::number(*lane, lane->end++) = number;
}

void Window::Bury(uint64_t number, std::string_view reason, bool told, DeadLetters* dead) {
  Entry& entry = at(number);
  entry.state = State::kDead;
  dead->push_back({.number = number,
                   .priority = entry.held->block.priority,
                   .record = std::string(entry.record),
                   .id = std::string(BuildId(entry)),
                   .reason = std::string(reason),
                   .told = told});
}

void Window::Admit(std::vector<LaneId>* woken, DeadLetters* dead, uint64_t bytes_max) {
  const uint64_t bytes_before = bytes_;
  while (!full() && bytes_ - bytes_before < bytes_max) {
    Entry& entry = at(next_);
    if (!NextRecord(&entry)) break;
    const uint64_t number = next_++;
    bytes_ += entry.record.size();
    if (spread_ == Spread::kByIdentity) entry.lane = LaneOf(entry.record);
    if (entry.lane == kNoLane) {
      Bury(number, "the record is no message envelope", false, dead);
      continue;
    }
    Lane& lane = lanes_[entry.lane];
    if (lane.sent == lane.end) woken->push_back(entry.lane);
    Push(&lane, number);
  }
}

std::string_view Window::Encode(const Entry& entry, uint64_t n, std::string* out) {
  EnvelopeView message;
  if (!ParseEnvelope(entry.record, &message) || message.device_id.empty()) {
    return "the record is no message envelope";
  }
  if (!topics_.Build(message, BuildId(entry), &topic_)) return "there is no valid MQTT topic for it";
  if (mqtt::PublishSize(kQos, topic_.size(), message.body.size()) > limits_.packet_bytes_max) {
    return "it is larger than packet_bytes_max";
  }
  const mqtt::PublishSpace space = mqtt::AppendPublishSpace(
      {.packet_id = mqtt::PacketIdOf(n), .qos = kQos, .dup = entry.repeated}, topic_.size(), message.body.size(), out);
  std::memcpy(space.topic, topic_.data(), topic_.size());
  if (!message.body.empty()) std::memcpy(space.payload, message.body.data(), message.body.size());
  return {};
}

Window::Filled Window::Fill(LaneId id, uint32_t lane_count_max, size_t out_bytes_max, std::string* out,
                            DeadLetters* dead) {
  Filled filled;
  Lane& lane = lanes_[id];
  while (lane.sent < lane.end && lane.in_flight < lane_count_max && out->size() < out_bytes_max) {
    const uint64_t n = lane.sent++;
    const uint64_t number = Window::number(lane, n);
    Entry& entry = at(number);
    if (entry.state != State::kWaiting) continue;  // of a rewound lane: it was acknowledged, or is being set aside
    if (const std::string_view problem = Encode(entry, n, out); !problem.empty()) {
      Bury(number, problem, false, dead);
      continue;
    }
    entry.state = State::kInFlight;
    ++lane.in_flight;
    ++in_flight_;
    ++filled.packets;
    filled.repeated += entry.repeated;
  }
  return filled;
}

void Window::Rewind(LaneId id) {
  Lane& lane = lanes_[id];
  for (uint64_t n = lane.begin; n < lane.sent; ++n) {
    Entry& entry = at(Window::number(lane, n));
    if (entry.state != State::kInFlight) continue;
    entry.state = State::kWaiting;
    entry.repeated = true;
  }
  in_flight_ -= lane.in_flight;
  lane.in_flight = 0;
  lane.sent = lane.begin;
  SkipSettled(&lane);
}

void Window::SkipSettled(Lane* lane) {
  while (lane->sent < lane->end && at(number(*lane, lane->sent)).state != State::kWaiting) ++lane->sent;
}

size_t Window::OnPubacks(LaneId id, std::span<const uint16_t> packet_ids) {
  size_t news = 0;
  Lane& lane = lanes_[id];
  for (const uint16_t packet_id : packet_ids) {
    const uint64_t n = mqtt::PacketIndex(packet_id, lane.begin);
    if (n >= lane.sent) {
      ++unknown_pubacks_;
      continue;
    }
    const uint64_t number = Window::number(lane, n);
    Entry& entry = at(number);
    if (entry.state != State::kInFlight) {
      ++unknown_pubacks_;
      continue;
    }
    entry.state = State::kDone;
    --lane.in_flight;
    --in_flight_;
    ++news;
    // The usual case, in order: the number that the next identifier is counted from moves along.
    if (n == lane.begin) AdvanceLane(&lane);
    if (number == done_) Advance();
  }
  return news;
}

size_t Window::SetAside(LaneId id, size_t count_max, std::string_view reason, DeadLetters* dead) {
  size_t count = 0;
  Lane& lane = lanes_[id];
  for (uint64_t n = lane.begin; n < lane.end && count < count_max; ++n) {
    const uint64_t number = Window::number(lane, n);
    if (at(number).state != State::kWaiting) continue;
    Bury(number, reason, true, dead);
    ++count;
  }
  SkipSettled(&lane);
  return count;
}

void Window::OnDeadLetterKept(uint64_t number) {
  if (number < done_ || number >= next_ || at(number).state != State::kDead) return;
  at(number).state = State::kDone;
  if (const LaneId lane = at(number).lane; lane != kNoLane) AdvanceLane(&lanes_[lane]);
  Advance();
}

std::optional<LaneId> Window::holder() const {
  if (done_ == next_) return std::nullopt;
  const Entry& first = ring_[done_ & mask_];
  if (first.state == State::kDead) return std::nullopt;
  return first.lane;
}

void Window::AdvanceLane(Lane* lane) {
  while (lane->begin < lane->end && at(Window::number(*lane, lane->begin)).state == State::kDone) ++lane->begin;
  lane->sent = std::max(lane->sent, lane->begin);
}

void Window::Advance() {
  while (done_ < next_ && at(done_).state == State::kDone) {
    Entry& entry = at(done_);
    bytes_ -= entry.record.size();
    const Block& block = entry.held->block;
    if (block.epoch == epoch_) moved_[block.priority] = entry.sequence;
    Held& held = *entry.held;
    if (--held.open == 0 && held.given_out) FreeBlocks();
    ++done_;
  }
}

void Window::FreeBlocks() {
  while (current_ > 0 && blocks_.front()->given_out && blocks_.front()->open == 0) {
    freed_bytes_ += blocks_.front()->block.records.size();
    blocks_.pop_front();
    --current_;
  }
}

std::optional<Window::Checkpoint> Window::TakeCheckpoint() {
  if (moved_.empty()) return std::nullopt;
  Checkpoint checkpoint{done_, epoch_, {}};
  for (const auto& [priority, sequence] : moved_) checkpoint.positions.push_back({priority, sequence});
  moved_.clear();
  return checkpoint;
}

void Window::OnCommitted(uint64_t number) {
  committed_ = std::max(committed_, number);
}

uint64_t Window::TakeFreedBytes() {
  return std::exchange(freed_bytes_, 0);
}

}  // namespace holdfast::uplink
