#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace holdfast::bench {

// Counts of durations in nanoseconds, in buckets of at most 3 % width. Not thread-safe.
class Histogram {
 public:
  void Add(uint64_t ns, uint64_t count = 1) {
    buckets_[Index(ns)] += count;
    total_ += count;
    if (ns > max_) max_ = ns;
  }
  // Value that a fraction `p` (0-1) of all is at or below, as the lower edge of its bucket; 0 if empty.
  uint64_t Percentile(double p) const {
    const auto wanted = static_cast<uint64_t>(p * static_cast<double>(total_));
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > wanted) return Value(i);
    }
    return max_;
  }
  uint64_t max() const { return max_; }
  uint64_t total() const { return total_; }

 private:
  static constexpr int kSubBits = 5;
  static size_t Index(uint64_t v) {
    if (v < (1u << kSubBits)) return v;
    const int shift = std::bit_width(v) - 1 - kSubBits;
    return ((static_cast<size_t>(shift) + 1) << kSubBits) + ((v >> shift) - (1u << kSubBits));
  }
  static uint64_t Value(size_t index) {
    if (index < (1u << kSubBits)) return index;
    const size_t shift = (index >> kSubBits) - 1;
    return (uint64_t{1 << kSubBits} + (index & ((1u << kSubBits) - 1))) << shift;
  }
  std::array<uint64_t, 64 << kSubBits> buckets_{};
  uint64_t total_ = 0;
  uint64_t max_ = 0;
};

}  // namespace holdfast::bench
