#include <cstdint>
#include <cstdlib>

#include "lib/routes/edgehub_settings.h"

// Whatever is accepted keeps its ranges, and a refusal has a reason.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast::routes;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<SettingsError> errors;
  const auto settings = ParseManifest(text, &errors);
  const auto desired = ParseDesiredProperties(text);
  if (!settings.ok()) {
    if (errors.empty() || errors[0].message.empty()) std::abort();
    return 0;
  }
  if (settings->ttl_seconds && (*settings->ttl_seconds < 0 || *settings->ttl_seconds > kTtlSecondsMax)) std::abort();
  for (const RouteDefinition& route : settings->routes) {
    if (!IsRouteName(route.name)) std::abort();
    if (route.priority > kPriorityMax && route.priority != kDefaultPriority) std::abort();
  }
  (void)RouteTable::Compile(settings->routes);
  return 0;
}
