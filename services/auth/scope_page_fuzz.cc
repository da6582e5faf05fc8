#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/auth/scope_page.h"

// No text crashes the reader, and every identity that it accepts is sound.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast::auth;
  const auto page = ParseScopePage(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!page.ok()) return 0;
  for (const auto& [id, identity] : *page) {
    const bool is_sound = id == FullId(identity) && IsValidId(identity.device_id) &&
                          (identity.module_id.empty() || IsValidId(identity.module_id)) &&
                          identity.primary_key.size() <= kKeyBytesMax &&
                          identity.secondary_key.size() <= kKeyBytesMax &&
                          (identity.credential == Credential::kSas || identity.primary_key.empty());
    if (!is_sound) std::abort();
  }
  return 0;
}
