#include <cstdint>
#include <cstdlib>

#include "services/store/disk_format.h"

using namespace holdfast::store;

// Whatever is decoded must encode to the same bytes again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string key = BlockKey(1, 2, 3);
  if (const auto header = ReadBlockHeader(key, bytes); header) {
    std::string again(bytes);
    PutBlockHeader(*header, &again);
    PutBlockChecksum(key, &again);
    if (again != bytes) std::abort();
  }
  if (size >= kBlockHeaderBytes) {
    std::string block(bytes);
    PutBlockHeader({.record_count = 1}, &block);
    PutBlockChecksum(key, &block);
    if (!ReadBlockHeader(key, block)) std::abort();
  }
  if (const auto queue = DecodeQueue(bytes); queue && Encode(queue->info, queue->counters) != bytes) std::abort();
  if (const auto checkpoints = DecodeCheckpoints(bytes); checkpoints && Encode(*checkpoints) != bytes) std::abort();
  if (const auto entry = DecodeEntry(bytes); entry && Encode(*entry) != bytes) std::abort();
  if (const auto state = DecodeStoreState(bytes); state && !DecodeStoreState(Encode(*state))) std::abort();
  if (const auto changes = DecodeChanges(bytes); changes) {
    std::string again;
    for (const Change& change : *changes) {
      if (change.value) {
        AppendPut(change.key, *change.value, &again);
      } else {
        AppendDelete(change.key, &again);
      }
    }
    if (again != bytes) std::abort();
  }
  if (const auto rider = DecodeRider(bytes); rider && EncodeRider(*rider) != bytes) std::abort();
  (void)BlockOf(bytes);
  (void)LanePrefixOf(bytes);
  (void)DecodeLease(bytes);
  (void)ParseBlockKey(bytes);
  (void)ParseNumberTextKey(bytes);
  return 0;
}
