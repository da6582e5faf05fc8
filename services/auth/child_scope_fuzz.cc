#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/auth/child_scope.h"

// Whatever is taken for a continuation names a device and is what this gateway would write.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast::auth;
  const auto device = ReadContinuation(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!device.ok()) return 0;
  if (!IsValidId(*device) || *ReadContinuation(WriteContinuation(*device)) != *device) std::abort();
  return 0;
}
