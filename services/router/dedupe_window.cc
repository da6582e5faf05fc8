#include "services/router/dedupe_window.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/numeric/int128.h"

namespace holdfast::router {
namespace {

constexpr int kIdShift = 48;
static_assert(std::endian::native == std::endian::little, "the hash below is on disk");

uint64_t Fold(uint64_t a, uint64_t b) {
  const absl::uint128 product = absl::uint128(a) * b;
  return absl::Uint128High64(product) ^ absl::Uint128Low64(product);
}

// 64 bits that depend on every byte and on where the strings end. It is on disk, so it must not change; and no client
// gains by two messages of its own that look alike, so that it need not be a cryptographic one.
uint64_t Hash(std::string_view first, std::string_view second) {
  constexpr uint64_t kA = 0x9e3779b97f4a7c15, kB = 0xbf58476d1ce4e5b9, kC = 0x94d049bb133111eb;
  uint64_t hash = kC;
  for (const std::string_view text : {first, second}) {
    hash = Fold(hash ^ text.size(), kA);
    const char* at = text.data();
    size_t left = text.size();
    uint64_t word = 0;
    for (; left >= sizeof word; left -= sizeof word, at += sizeof word) {
      std::memcpy(&word, at, sizeof word);
      hash = Fold(hash ^ kB, word ^ kA);
    }
    word = 0;
    if (left > 0) std::memcpy(&word, at, left);
    hash = Fold(hash ^ kB, word ^ kA);
  }
  return hash;
}

uint64_t Entry(uint16_t packet_id, std::string_view bag, std::string_view body) {
  return (uint64_t{packet_id} << kIdShift) | (Hash(bag, body) & ((uint64_t{1} << kIdShift) - 1));
}

}  // namespace

void DedupeWindow::Add(uint64_t entry) {
  if (entries_.size() < size_) {
    entries_.push_back(entry);
    return;
  }
  entries_[next_] = entry;
  next_ = next_ + 1 == size_ ? 0 : next_ + 1;
}

void DedupeWindow::Remember(uint16_t packet_id, std::string_view bag, std::string_view body) {
  if (size_ > 0) Add(Entry(packet_id, bag, body));
}

bool DedupeWindow::Contains(uint16_t packet_id, std::string_view bag, std::string_view body) const {
  const size_t count = entries_.size();
  for (size_t i = 1; i <= count; ++i) {
    const uint64_t entry = entries_[(next_ + count - i) % count];  // newest first
    if (entry >> kIdShift == packet_id) return entry == Entry(packet_id, bag, body);
  }
  return false;
}

void DedupeWindow::Clear() {
  entries_.clear();
  next_ = 0;
}

std::vector<uint64_t> DedupeWindow::Save(size_t count, const PacketIdSet& without) const {
  std::vector<uint64_t> saved;
  const size_t size = entries_.size();
  for (size_t i = 1; i <= size && saved.size() < count; ++i) {
    const uint64_t entry = entries_[(next_ + size - i) % size];
    if (!without[entry >> kIdShift]) saved.push_back(entry);
  }
  std::reverse(saved.begin(), saved.end());
  return saved;
}

void DedupeWindow::Load(const std::vector<uint64_t>& entries) {
  if (size_ == 0) return;
  for (const uint64_t entry : entries) Add(entry);
}

}  // namespace holdfast::router
