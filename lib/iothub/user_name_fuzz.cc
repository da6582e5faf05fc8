#include <cstdint>
#include <cstdlib>

#include "lib/iothub/user_name.h"

// Whatever is accepted has ids that can be put into a topic and a key.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto user = holdfast::iothub::ParseUserName(text);
  if (!user.ok()) return 0;
  if (!holdfast::iothub::IsId(user->identity.device_id)) std::abort();
  if (!user->identity.module_id.empty() && !holdfast::iothub::IsId(user->identity.module_id)) std::abort();
  if (text.find("api-version") == std::string_view::npos) std::abort();
  return 0;
}
