#include "tests/hubsim/scope.h"

#include <fmt/format.h>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "tests/hubsim/registry_json.h"

namespace holdfast::hubsim {
namespace {

constexpr std::string_view kTokenPrefix = "page:";

void Add(const Device& device, const Registry& registry, ScopePage* page) {
  page->devices.push_back(ScopeDeviceJson(device, registry));
  for (const auto& [id, module] : device.modules) page->modules.push_back(ScopeModuleJson(module));
}

}  // namespace

std::string ContinuationToken(const PageStart& start) {
  return absl::WebSafeBase64Escape(fmt::format("{}{}:{}", kTokenPrefix, start.page, start.after));
}

absl::StatusOr<PageStart> ParseContinuationToken(const std::string& token) {
  std::string text;
  PageStart start;
  const bool decoded = absl::WebSafeBase64Unescape(token, &text) && text.starts_with(kTokenPrefix);
  const size_t colon = decoded ? text.find(':', kTokenPrefix.size()) : std::string::npos;
  if (colon == std::string::npos ||
      !absl::SimpleAtoi(text.substr(kTokenPrefix.size(), colon - kTokenPrefix.size()), &start.page)) {
    return absl::InvalidArgumentError("the continuation token is none of this hub's");
  }
  start.after = text.substr(colon + 1);
  return start;
}

bool IsInScope(const Device& device, const Device& edge) {
  return device.device_id == edge.device_id || device.parent == edge.device_id;
}

ScopePage ReadScope(const Registry& registry, const Device& edge, const PageStart& start, size_t devices_max) {
  ScopePage page;
  const auto& devices = registry.devices();
  auto at = start.after.empty() ? devices.begin() : devices.upper_bound(start.after);
  std::string last;
  for (; at != devices.end(); ++at) {
    if (!IsInScope(at->second, edge)) continue;
    if (page.devices.size() == devices_max) {
      page.token = ContinuationToken({.page = start.page + 1, .after = last});
      return page;
    }
    Add(at->second, registry, &page);
    last = at->first;
  }
  return page;
}

absl::StatusOr<ScopePage> ReadIdentity(const Registry& registry, std::string_view device_id,
                                       std::string_view module_id) {
  const Device* device = registry.FindDevice(device_id);
  if (device == nullptr) return absl::NotFoundError(fmt::format("device {} is not registered", device_id));
  ScopePage page;
  page.devices.push_back(ScopeDeviceJson(*device, registry));
  if (module_id.empty()) return page;
  const Module* module = registry.FindModule(device_id, module_id);
  if (module == nullptr)
    return absl::NotFoundError(fmt::format("module {}/{} is not registered", device_id, module_id));
  page.modules.push_back(ScopeModuleJson(*module));
  return page;
}

}  // namespace holdfast::hubsim
