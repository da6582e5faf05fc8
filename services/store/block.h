#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "services/store/disk_format.h"

namespace holdfast::store {

inline constexpr uint32_t kDefaultPriority = 2'000'000'000;
inline constexpr uint32_t kImportantPriorityMax = 9;

// A block in memory, its records never sealed, with what was found in its header. Immutable once shared.
struct Block {
  uint32_t priority = kDefaultPriority;
  uint64_t first_sequence = 0;
  BlockHeader header;
  std::string value;  // kBlockHeaderBytes of room, then the records

  std::string_view records() const { return std::string_view(value).substr(kBlockHeaderBytes); }
  uint64_t last_sequence() const { return first_sequence + header.record_count - 1; }
};
using BlockPtr = std::shared_ptr<const Block>;

// Where a block is and what it holds, without its bytes.
struct BlockInfo {
  uint64_t first_sequence = 0;
  uint64_t edge_ms = 0;
  uint64_t records_before = 0;
  uint64_t bytes_before = 0;
  uint32_t record_count = 0;
  uint32_t bytes = 0;  // of the records
  int32_t ttl_seconds = 0;
  bool hole = false;

  uint64_t end_sequence() const { return first_sequence + record_count; }
};

// True if a block's time is over. `queue_ttl_seconds` is what ttl 0 in the block means now; -1 = never.
inline bool IsExpired(uint64_t appended_edge_ms, int32_t block_ttl_seconds, int32_t queue_ttl_seconds,
                      uint64_t now_edge_ms) {
  const int64_t ttl_seconds = block_ttl_seconds != 0 ? block_ttl_seconds : queue_ttl_seconds;
  if (ttl_seconds < 0) return false;
  return now_edge_ms >= appended_edge_ms + static_cast<uint64_t>(ttl_seconds) * 1000;
}

}  // namespace holdfast::store
