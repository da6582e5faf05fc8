#include "lib/iothub/auth_chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace holdfast::iothub {
namespace {

absl::Status Bad(std::string_view what) {
  return absl::InvalidArgumentError(
      fmt::format("auth-chain {}; expected <device>[/<module>];<gateway>;…, the gateway that connects last", what));
}

// The part up to the next ';', and moves behind it; false at the end.
bool TakePart(std::string_view* rest, bool* more, std::string_view* part) {
  if (!*more) return false;
  const size_t end = rest->find(';');
  *part = rest->substr(0, end);
  *more = end != std::string_view::npos;
  if (*more) rest->remove_prefix(end + 1);
  return true;
}

}  // namespace

std::string AuthChain::GatewaysAbove(size_t index) const {
  std::string above;
  for (size_t i = index + 1; i < devices.size(); ++i) {
    if (!above.empty()) above.push_back(';');
    above += devices[i];
  }
  return above;
}

std::vector<Identity> AuthChain::Links() const {
  std::vector<Identity> links;
  for (size_t i = 1; i < devices.size(); ++i) links.push_back({devices[i], ""});
  links.push_back(ActorIdentity());
  return links;
}

absl::StatusOr<AuthChain> ParseAuthChain(std::string_view text) {
  AuthChain chain;
  bool more = true;
  std::string_view part;
  TakePart(&text, &more, &part);
  const size_t slash = part.find('/');
  const std::string_view device = part.substr(0, slash);
  if (!IsId(device)) return Bad("begins with no device id");
  if (slash != std::string_view::npos) {
    if (!IsId(part.substr(slash + 1))) return Bad("begins with a bad module id");
    if (!more) return Bad("names a module and nobody who speaks for it");
    chain.client.module_id = part.substr(slash + 1);
  }
  chain.client.device_id = device;
  chain.devices.emplace_back(device);
  for (bool first = true; TakePart(&text, &more, &part); first = false) {
    if (first && !chain.client.module_id.empty() && part == device) continue;
    if (!IsId(part)) return Bad("has a bad device id");
    if (std::ranges::find(chain.devices, part) != chain.devices.end()) return Bad("names a device twice");
    if (chain.devices.size() == kAuthChainDevicesMax) {
      return Bad(fmt::format("has more than {} devices", kAuthChainDevicesMax));
    }
    chain.devices.emplace_back(part);
  }
  return chain;
}

}  // namespace holdfast::iothub
