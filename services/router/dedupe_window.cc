#include "services/router/dedupe_window.h"

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"

namespace holdfast::router {
namespace {

constexpr int kIdShift = 48;

uint64_t Entry(uint16_t packet_id, std::string_view topic, std::string_view payload) {
  const uint64_t hash =
      absl::HashOf(absl::string_view(topic.data(), topic.size()), absl::string_view(payload.data(), payload.size()));
  return (uint64_t{packet_id} << kIdShift) | (hash & ((uint64_t{1} << kIdShift) - 1));
}

}  // namespace

void DedupeWindow::Remember(uint16_t packet_id, std::string_view topic, std::string_view payload) {
  if (size_ == 0) return;
  const uint64_t entry = Entry(packet_id, topic, payload);
  if (entries_.size() < size_) {
    entries_.push_back(entry);
    return;
  }
  entries_[next_] = entry;
  next_ = next_ + 1 == size_ ? 0 : next_ + 1;
}

bool DedupeWindow::Contains(uint16_t packet_id, std::string_view topic, std::string_view payload) const {
  const size_t count = entries_.size();
  for (size_t i = 1; i <= count; ++i) {
    const uint64_t entry = entries_[(next_ + count - i) % count];  // newest first
    if (entry >> kIdShift == packet_id) return entry == Entry(packet_id, topic, payload);
  }
  return false;
}

void DedupeWindow::Clear() {
  entries_.clear();
  next_ = 0;
}

}  // namespace holdfast::router
