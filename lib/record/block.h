// Blocks of records, the unit of I/O between the processes (proto/holdfast/store/v1/store.proto, Queues):
//
//   block  = record*
//   record = length (protobuf varint32) bytes
//
// This file both writes and reads the format.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast {

inline constexpr uint32_t kBlockRecordsMax = 65'536;
inline constexpr size_t kBlockBytesMax = 4u << 20;

// Number of records in `block`, or nullopt if it is not well formed (a length past the end, or over 5 bytes of varint).
// Empty is 0 records.
std::optional<uint32_t> CountRecords(std::string_view block);

// Appends `record` with its length prefix to `block`.
void AppendRecord(std::string_view record, std::string* block);

// Appends the prefix of a record of `size` bytes, and returns where to write them: valid until `block` changes.
char* AppendRecordSpace(size_t size, std::string* block);

// Walks over a block. Not thread-safe; the block must outlive it.
class BlockReader {
 public:
  explicit BlockReader(std::string_view block) : rest_(block) {}

  // The next record, or nullopt at the end, or when what is left is not well formed.
  std::optional<std::string_view> Next();

  bool done() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

}  // namespace holdfast
