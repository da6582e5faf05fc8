#include <cstdint>
#include <cstdlib>

#include "services/store/disk_format.h"

using namespace holdfast::store;

// Whatever is decoded must encode to the same bytes again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string key = BlockKey(1, 2, 3);
  if (OpenBlock(key, bytes)) {
    std::string again(bytes);
    SealBlock(key, *OpenBlock(key, bytes), &again);
    if (!OpenBlock(key, again)) std::abort();
  }
  if (size >= kBlockHeaderBytes) {
    std::string sealed(bytes);
    SealBlock(key, {.record_count = 1}, &sealed);
    if (!OpenBlock(key, sealed)) std::abort();
  }
  if (const auto queue = DecodeQueue(bytes); queue && Encode(queue->info, queue->counters) != bytes) std::abort();
  if (const auto checkpoints = DecodeCheckpoints(bytes); checkpoints && Encode(*checkpoints) != bytes) std::abort();
  if (const auto entry = DecodeEntry(bytes); entry && Encode(*entry) != bytes) std::abort();
  (void)DecodeStoreState(bytes);
  (void)DecodeLease(bytes);
  (void)ParseBlockKey(bytes);
  (void)ParseNumberTextKey(bytes);
  return 0;
}
