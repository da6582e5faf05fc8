#include <cstdlib>

#include "lib/record/block.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view block(reinterpret_cast<const char*>(data), size);
  const auto count = holdfast::CountRecords(block);
  if (!count) return 0;
  std::string again;
  uint32_t n = 0;
  holdfast::BlockReader reader(block);
  while (const auto record = reader.Next()) {
    holdfast::AppendRecord(*record, &again);
    ++n;
  }
  if (n != *count || holdfast::CountRecords(again) != count) std::abort();
  return 0;
}
