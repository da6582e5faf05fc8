#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "services/store/encryption.h"

using namespace holdfast::store;

// Nothing that was not sealed opens, whatever its checksum says, and what was sealed opens as it was.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Encryption encryption = *Encryption::Create({std::string(32, 'k')});
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string key = BlockKey(1, 2, 3);
  std::string out;

  std::string forged = std::string(kBlockHeaderBytes, '\0').append(bytes);
  PutBlockHeader({.sealed = true, .record_count = 1}, &forged);
  PutBlockChecksum(key, &forged);
  const auto forged_header = ReadBlockHeader(key, forged);
  if (forged_header && encryption.OpenBlock(key, *forged_header, forged, &out).ok()) std::abort();

  if (const auto header = ReadBlockHeader(key, bytes); header) (void)encryption.OpenBlock(key, *header, bytes, &out);
  if (const auto entry = DecodeEntry(bytes); entry) {
    if (encryption.OpenEntry("name", bytes, *entry).ok() == entry->sealed) std::abort();
  }

  Block block;
  block.header.record_count = 1;
  block.value = std::string(kBlockHeaderBytes, '\0').append(bytes);
  std::string sealed;
  const std::string_view value = encryption.FinishBlock(key, &block, &sealed);
  const auto header = ReadBlockHeader(key, value);
  if (!header || !encryption.OpenBlock(key, *header, value, &out).ok()) std::abort();
  if (std::string_view(out).substr(kBlockHeaderBytes) != bytes) std::abort();

  const std::string entry = encryption.FinishEntry("name", {.revision = 1, .value = bytes});
  if (*encryption.OpenEntry("name", entry, *DecodeEntry(entry)) != bytes) std::abort();
  return 0;
}
