#include "deploy/demo/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace holdfast::demo {
namespace {

bool TakeNumber(std::string_view* text, uint64_t* number) {
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *number);
  if (error != std::errc() || end == text->data() + text->size() || *end != ' ') return false;
  text->remove_prefix(static_cast<size_t>(end - text->data()) + 1);
  return true;
}

}  // namespace

void Ledger::Mark(std::vector<bool>& set, uint64_t sequence) {
  if (set.size() <= sequence) set.resize(sequence + 1, false);
  set[sequence] = true;
}

void Ledger::Sent(size_t device, uint64_t sequence) {
  absl::MutexLock lock(&mutex_);
  devices_[device].sent = std::max(devices_[device].sent, sequence + 1);
}

void Ledger::Acknowledged(size_t device, uint64_t sequence) {
  absl::MutexLock lock(&mutex_);
  Device& d = devices_[device];
  if (sequence < d.acknowledged.size() && d.acknowledged[sequence]) return;
  Mark(d.acknowledged, sequence);
  ++acknowledged_;
  acknowledged_and_delivered_ += sequence < d.delivered.size() && d.delivered[sequence];
}

void Ledger::Delivered(size_t device, uint64_t sequence) {
  absl::MutexLock lock(&mutex_);
  if (device >= devices_.size()) return;
  Device& d = devices_[device];
  if (sequence < d.delivered.size() && d.delivered[sequence]) {
    ++duplicated_;
    return;
  }
  Mark(d.delivered, sequence);
  ++delivered_;
  acknowledged_and_delivered_ += sequence < d.acknowledged.size() && d.acknowledged[sequence];
  if (sequence + 1 < d.highest_delivered_end) ++out_of_order_;
  d.highest_delivered_end = std::max(d.highest_delivered_end, sequence + 1);
}

Totals Ledger::Count() const {
  absl::MutexLock lock(&mutex_);
  Totals t{.acknowledged = acknowledged_,
           .delivered = delivered_,
           .lost = acknowledged_ - acknowledged_and_delivered_,
           .duplicated = duplicated_,
           .out_of_order = out_of_order_};
  for (const Device& d : devices_) t.sent += d.sent;
  return t;
}

std::vector<std::string> Ledger::Lost(size_t limit) const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> lost;
  for (size_t d = 0; d < devices_.size(); ++d) {
    const Device& device = devices_[d];
    for (size_t s = 0; s < device.acknowledged.size() && lost.size() < limit; ++s) {
      const bool delivered = s < device.delivered.size() && device.delivered[s];
      if (device.acknowledged[s] && !delivered) lost.push_back(fmt::format("device {}: message {}", d + 1, s));
    }
  }
  return lost;
}

void Ledger::DeliveredPayload(std::string_view payload) {
  uint64_t device = 0;
  uint64_t sequence = 0;
  if (TakeNumber(&payload, &device) && TakeNumber(&payload, &sequence)) Delivered(device, sequence);
}

}  // namespace holdfast::demo
