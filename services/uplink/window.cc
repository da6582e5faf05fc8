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

}  // namespace

Window::Window(Limits limits, TopicTemplate topics)
    : limits_(limits), topics_(std::move(topics)), mask_(std::bit_ceil(limits.count_max) - 1), ring_(mask_ + 1) {}

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
      *entry = Entry{&held, *record, sequence_++, State::kInFlight};
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

std::string_view Window::Encode(const Entry& entry, uint64_t number, bool dup, std::string* out) {
  EnvelopeView message;
  if (!ParseEnvelope(entry.record, &message)) return "the record is no message envelope";
  if (!topics_.Build(message, BuildId(entry), &topic_)) return "there is no valid MQTT topic for it";
  if (mqtt::PublishSize(kQos, topic_.size(), message.body.size()) > limits_.packet_bytes_max) {
    return "it is larger than packet_bytes_max";
  }
  const mqtt::PublishSpace space = mqtt::AppendPublishSpace(
      {.packet_id = mqtt::PacketIdOf(number), .qos = kQos, .dup = dup}, topic_.size(), message.body.size(), out);
  std::memcpy(space.topic, topic_.data(), topic_.size());
  if (!message.body.empty()) std::memcpy(space.payload, message.body.data(), message.body.size());
  return {};
}

size_t Window::Fill(size_t out_bytes_max, std::string* out, std::vector<DeadLetter>* dead) {
  size_t packets = 0;
  while (!full() && out->size() < out_bytes_max) {
    Entry entry;
    if (!NextRecord(&entry)) break;
    const uint64_t number = next_++;
    bytes_in_flight_ += entry.record.size();
    if (const std::string_view problem = Encode(entry, number, false, out); !problem.empty()) {
      entry.state = State::kDead;
      dead->push_back({number, entry.held->block.priority, std::string(entry.record), std::string(BuildId(entry)),
                       std::string(problem)});
    } else {
      ++in_flight_;
      ++packets;
    }
    at(number) = entry;
  }
  return packets;
}

size_t Window::Redeliver(std::string* out) {
  size_t packets = 0;
  for (uint64_t number = done_; number < next_; ++number) {
    const Entry& entry = at(number);
    if (entry.state != State::kInFlight) continue;
    Encode(entry, number, true, out);
    ++packets;
  }
  return packets;
}

size_t Window::OnPubacks(std::span<const uint16_t> packet_ids) {
  size_t news = 0;
  for (const uint16_t id : packet_ids) {
    const uint64_t number = mqtt::PacketIndex(id, done_);
    if (number >= next_ || at(number).state != State::kInFlight) {
      ++unknown_pubacks_;
      continue;
    }
    at(number).state = State::kDone;
    --in_flight_;
    ++news;
    // The usual case, in order: the number that the next identifier is counted from moves along.
    if (number == done_) Advance();
  }
  return news;
}

void Window::OnDeadLetterKept(uint64_t number) {
  if (number < done_ || number >= next_ || at(number).state != State::kDead) return;
  at(number).state = State::kDone;
  Advance();
}

void Window::Advance() {
  while (done_ < next_ && at(done_).state == State::kDone) {
    Entry& entry = at(done_);
    bytes_in_flight_ -= entry.record.size();
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
