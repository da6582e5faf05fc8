#include "lib/record/block.h"

namespace holdfast {
namespace {

// Takes a varint32 off the front of `in`; false if it is cut short or does not fit 32 bits.
bool TakeVarint32(std::string_view* in, uint32_t* value) {
  uint64_t result = 0;
  for (size_t i = 0; i < 5 && i < in->size(); ++i) {
    const auto byte = static_cast<uint8_t>((*in)[i]);
    result |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if ((byte & 0x80) == 0) {
      if (result > UINT32_MAX) return false;
      in->remove_prefix(i + 1);
      *value = static_cast<uint32_t>(result);
      return true;
    }
  }
  return false;
}

}  // namespace

std::optional<std::string_view> BlockReader::Next() {
  uint32_t size = 0;
  if (!TakeVarint32(&rest_, &size) || size > rest_.size()) return std::nullopt;
  const std::string_view record = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return record;
}

std::optional<uint32_t> CountRecords(std::string_view block) {
  BlockReader reader(block);
  uint32_t count = 0;
  while (!reader.done()) {
    if (!reader.Next()) return std::nullopt;
    ++count;
  }
  return count;
}

char* AppendRecordSpace(size_t size, std::string* block) {
  auto rest = static_cast<uint32_t>(size);
  while (rest >= 0x80) {
    block->push_back(static_cast<char>(rest | 0x80));
    rest >>= 7;
  }
  block->push_back(static_cast<char>(rest));
  const size_t at = block->size();
  block->resize(at + size);
  return block->data() + at;
}

void AppendRecord(std::string_view record, std::string* block) {
  record.copy(AppendRecordSpace(record.size(), block), record.size());
}

}  // namespace holdfast
