#include "services/auth/child_scope.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "lib/base/status.h"
#include "services/auth/chain_rules.h"

namespace holdfast::auth {
namespace {

constexpr std::string_view kAfter = "after:";

// What it takes in a page, generously.
size_t TextBytes(const Identity& identity) {
  constexpr size_t kNamesAndMarks = 512;
  size_t bytes = kNamesAndMarks + identity.device_id.size() + identity.module_id.size() +
                 identity.generation_id.size() + identity.scope.size() +
                 2 * (identity.primary_key.size() + identity.secondary_key.size()) +
                 identity.primary_thumbprint.size() + identity.secondary_thumbprint.size();
  for (const std::string& scope : identity.parent_scopes) bytes += scope.size() + 4;
  return bytes;
}

}  // namespace

std::string WriteContinuation(std::string_view last_device) {
  return absl::WebSafeBase64Escape(fmt::format("{}{}", kAfter, last_device));
}

absl::StatusOr<std::string> ReadContinuation(std::string_view continuation) {
  std::string text;
  if (!absl::WebSafeBase64Unescape(std::string(continuation), &text) || !text.starts_with(kAfter) ||
      !IsValidId(std::string_view(text).substr(kAfter.size()))) {
    return absl::InvalidArgumentError("the continuationLink is none of this gateway's");
  }
  return text.substr(kAfter.size());
}

absl::StatusOr<ScopeSelection> SelectChildren(const IdentityMap& identities, const Identity& gateway,
                                              uint32_t devices_max, std::string_view continuation) {
  std::string after;
  if (!continuation.empty()) {
    ASSIGN_OR_RETURN(after, ReadContinuation(continuation));
  }
  ScopeSelection selection;
  size_t bytes = 0;
  uint32_t devices = 0;
  std::string last;
  // By full id "dev-1/mod" comes before "dev/mod", so modules are looked for by their device's name.
  for (auto at = after.empty() ? identities.begin() : identities.upper_bound(after); at != identities.end(); ++at) {
    const Identity& device = at->second;
    if (!device.module_id.empty()) continue;
    if (device.device_id != gateway.device_id && !IsChildOf(device, gateway)) continue;
    std::vector<const Identity*> group{&device};
    const std::string prefix = device.device_id + "/";
    for (auto m = identities.lower_bound(prefix); m != identities.end() && m->first.starts_with(prefix); ++m) {
      group.push_back(&m->second);
    }
    size_t group_bytes = 0;
    for (const Identity* identity : group) group_bytes += TextBytes(*identity);
    if (group_bytes > kScopePageTextBytes) {
      return absl::ResourceExhaustedError(fmt::format("{} with its {} modules is more than a page of the scope holds",
                                                      device.device_id, group.size() - 1));
    }
    if (devices == devices_max || bytes + group_bytes > kScopePageTextBytes) {
      selection.continuation = WriteContinuation(last);
      return selection;
    }
    selection.identities.insert(selection.identities.end(), group.begin(), group.end());
    bytes += group_bytes;
    ++devices;
    last = device.device_id;
  }
  return selection;
}

}  // namespace holdfast::auth
