// Any bytes as a blob: refused, or written again as they were.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/auth/tpm_blob.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto blob = holdfast::auth::ReadTpmBlob(bytes);
  if (blob.ok() && holdfast::auth::WriteTpmBlob(*blob) != bytes) std::abort();
  return 0;
}
