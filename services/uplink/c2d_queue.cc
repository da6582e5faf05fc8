#include "services/uplink/c2d_queue.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "lib/mqtt/property_bag.h"

namespace holdfast::uplink {
namespace {

// Remembered of one device at most: what a hub has on its way (IoT Hub contract: 50), and some.
constexpr size_t kRememberedMax = C2dQueue::kMessagesMax;

uint64_t HashOf(const CloudMessage& message) {
  return absl::HashOf(message.bag, message.body);
}

bool HasId(const CloudMessage& message) {
  return mqtt::CheckBag(message.bag) == mqtt::BagError::kOk && mqtt::FindProperty(message.bag, "$.mid").has_value();
}

}  // namespace

void C2dQueue::OnOpened(absl::Duration now) {
  open_ = true;
  opened_at_ = now;
}

void C2dQueue::OnClosed(absl::Duration now) {
  if (!open_) return;
  open_ = false;
  waiting_.clear();
  bytes_ = 0;
  left_out_ = false;
  if (writing_) orphan_ = true;
  // What was acknowledged long ago has arrived; what did not come again by now does not come any more.
  if (now - opened_at_ > kRecognised) before_.clear();
  for (const Stored& stored : here_) {
    if (now - stored.acknowledged_at < kUnsettled) Remember(&before_, stored);
  }
  here_.clear();
}

void C2dQueue::Remember(std::vector<Stored>* list, const Stored& stored) {
  if (list->size() == kRememberedMax) list->erase(list->begin());
  list->push_back(stored);
}

C2dQueue::Actions C2dQueue::OnMessage(CloudMessage message, bool room, absl::Duration now) {
  if (!open_) return {};
  if (left_out_ || !room || waiting_.size() == kMessagesMax) {
    left_out_ = true;  // those behind it too, for the sake of order
    return Advance(now);
  }
  if (message.drop) message.body.clear();
  bytes_ += message.bytes();
  waiting_.push_back(std::move(message));
  return Advance(now);
}

C2dQueue::Actions C2dQueue::OnStored(bool stored, absl::Duration now) {
  Actions actions;
  writing_ = false;
  const bool orphan = std::exchange(orphan_, false);
  if (stored && orphan) Remember(&before_, written_);
  if (stored && !orphan) {
    written_.acknowledged_at = now;
    Remember(&here_, written_);
    actions.acknowledge.push_back(waiting_.front().packet_id);
    bytes_ -= waiting_.front().bytes();
    waiting_.pop_front();
  }
  Actions more = Advance(now);
  actions.acknowledge.insert(actions.acknowledge.end(), more.acknowledge.begin(), more.acknowledge.end());
  actions.store = std::move(more.store);
  actions.renew = more.renew;
  return actions;
}

bool C2dQueue::Recognise(const CloudMessage& message, absl::Duration now) {
  if (before_.empty() || now - opened_at_ > kRecognised) return false;
  const uint64_t hash = HashOf(message);
  const bool has_id = HasId(message);
  const auto known = std::ranges::find_if(before_, [&](const Stored& stored) {
    return stored.hash == hash && (has_id || stored.acknowledged_at == -absl::InfiniteDuration());
  });
  if (known == before_.end()) return false;
  before_.erase(known);
  ++recognised_total_;
  Remember(&here_, {.hash = hash, .has_id = has_id, .acknowledged_at = now});
  return true;
}

// While something is being stored nothing is looked at: it may be the very one that comes again.
C2dQueue::Actions C2dQueue::Advance(absl::Duration now) {
  Actions actions;
  while (!writing_ && !waiting_.empty()) {
    const CloudMessage& front = waiting_.front();
    if (!front.drop && !Recognise(front, now)) {
      writing_ = true;
      written_ = {.hash = HashOf(front), .has_id = HasId(front)};
      actions.store = front;
      return actions;
    }
    actions.acknowledge.push_back(front.packet_id);
    bytes_ -= front.bytes();
    waiting_.pop_front();
  }
  if (!writing_ && left_out_) {
    left_out_ = false;
    actions.renew = open_;
  }
  return actions;
}

bool C2dQueue::idle(absl::Duration now) const {
  return empty() && !open_ && (before_.empty() || now - opened_at_ > kRecognised + kUnsettled);
}

}  // namespace holdfast::uplink
