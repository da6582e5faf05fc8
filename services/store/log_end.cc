#include "services/store/log_end.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>

#include "services/store/crc32c.h"

namespace holdfast::store {
namespace {

// LevelDB's log format (doc/log_format.md): blocks of 32 KiB; in a block, fragments of a checksum (4 bytes,
// little-endian CRC-32C of type and payload, masked), a length (2 bytes, little-endian), a type (1 byte) and a payload;
// fewer than 7 bytes at the end of a block are zero.
constexpr size_t kBlockBytes = 32 << 10;
constexpr size_t kHeaderBytes = 7;
constexpr size_t kTypeAt = 6;
constexpr uint32_t kCrcMaskDelta = 0xa282ead8;
enum FragmentType : uint8_t { kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };
// What a disk writes as a whole, at least.
constexpr size_t kSectorBytes = 512;

bool AllZero(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == std::string_view::npos;
}

uint32_t Byte(std::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]);
}

// End of the fragment whose header is at `at` (all of it within `content`), by its own word.
size_t ClaimedEnd(std::string_view content, size_t at) {
  return at + kHeaderBytes + (Byte(content, at + 4) | Byte(content, at + 5) << 8);
}

// The type, if the fragment at `at` is whole and its checksum right.
std::optional<uint8_t> ReadFragment(std::string_view content, size_t at) {
  const size_t end = ClaimedEnd(content, at);
  if (end > content.size() || end > (at / kBlockBytes + 1) * kBlockBytes) return std::nullopt;
  const uint32_t masked =
      Byte(content, at) | Byte(content, at + 1) << 8 | Byte(content, at + 2) << 16 | Byte(content, at + 3) << 24;
  const uint32_t rotated = masked - kCrcMaskDelta;
  const uint32_t crc = (rotated >> 17) | (rotated << 15);
  if (crc != Crc32c(content.substr(at + kTypeAt, end - at - kTypeAt), 0)) return std::nullopt;
  return static_cast<uint8_t>(content[at + kTypeAt]);
}

// True if a record begins, readable, in one of the blocks from `at` on.
bool RecordBeginsBehind(std::string_view content, size_t at) {
  while (at + kHeaderBytes <= content.size()) {
    const size_t block_end = (at / kBlockBytes + 1) * kBlockBytes;
    const auto type = at + kHeaderBytes <= block_end ? ReadFragment(content, at) : std::nullopt;
    if (type == kFull || type == kFirst) return true;
    at = type ? ClaimedEnd(content, at) : block_end;
  }
  return false;
}

// True if a sector that should hold a part of the fragment at `bad` was never written.
bool LacksSector(std::string_view content, size_t bad) {
  const size_t written = content.find_last_not_of('\0') + 1;  // 0 if there is nothing
  const size_t end = std::min(std::max(written, ClaimedEnd(content, bad)), content.size());
  for (size_t at = bad; at < end;) {
    const size_t sector_end = std::min((at / kSectorBytes + 1) * kSectorBytes, content.size());
    if (AllZero(content.substr(at, sector_end - at))) return true;
    at = sector_end;
  }
  return false;
}

}  // namespace

size_t LogEnd(std::string_view content) {
  size_t at = 0;
  size_t whole = 0;  // end of the last whole record
  bool inside = false;
  while (at + kHeaderBytes <= content.size()) {
    const size_t block_end = (at / kBlockBytes + 1) * kBlockBytes;
    if (at + kHeaderBytes > block_end) {
      at = block_end;
      continue;
    }
    const auto type = ReadFragment(content, at);
    const bool fits = type == kFull || type == kFirst ? !inside : (type == kMiddle || type == kLast) && inside;
    if (!fits) {
      if (type || RecordBeginsBehind(content, at) || !LacksSector(content, at)) return content.size();
      return whole;
    }
    at = ClaimedEnd(content, at);
    inside = type == kFirst || type == kMiddle;
    if (!inside) whole = at;
  }
  return content.size();
}

}  // namespace holdfast::store
