// What the hub says over HTTPS and by direct method: whatever it is, reading it ends, and the walk does.
#include <cstdlib>

#include "services/uplink/hub_methods.h"
#include "services/uplink/scope_walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast::uplink;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ParseMethodTopic(text);
  (void)ParseRefreshPayload(text);
  const auto page = ReadScopePage(text);
  if (!page.ok()) return 0;
  for (const ScopeDevice& device : page->devices) {
    if (device.id.empty()) std::abort();
  }
  for (const ScopeApi api : {ScopeApi::kNested, ScopeApi::kFlat}) {
    ScopeWalk walk({.gateway = "edge", .api = api});
    // The same page again and again: the second time its link leads in a circle, or each gateway is seen.
    for (uint32_t calls = 0; walk.Next(); ++calls) {
      if (calls > 1 + page->devices.size()) std::abort();
      if (!walk.OnPage(*page).ok()) break;
    }
  }
  return 0;
}
