#include "services/auth/chain_rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/log.h"

namespace holdfast::auth {
namespace {

using Response = v1::AuthenticateResponse;

Verdict Deny(Response::Reason reason, std::string subject, std::string detail) {
  return {.decision = Response::DECISION_DENIED,
          .reason = reason,
          .detail = std::move(detail),
          .subject = std::move(subject)};
}

const Identity* Find(const IdentityMap& identities, std::string_view id) {
  const auto found = identities.find(id);
  return found == identities.end() ? nullptr : &found->second;
}

Verdict Unknown(const std::string& id) {
  return Deny(Response::REASON_UNKNOWN_IDENTITY, id,
              fmt::format("{} is not an identity of this gateway", Printable(id)));
}

}  // namespace

bool IsChildOf(const Identity& device, const Identity& gateway) {
  if (!gateway.is_gateway || gateway.scope.empty() || !device.module_id.empty()) return false;
  if (std::ranges::find(device.parent_scopes, gateway.scope) != device.parent_scopes.end()) return true;
  // A gateway's scope is its own.
  return !device.is_gateway && device.scope == gateway.scope;
}

Verdict JudgeChain(const iothub::AuthChain& chain, const IdentityMap& identities, std::string_view own_device,
                   ClientStatus status) {
  const std::string client = chain.client.ClientId();
  const Identity* above = Find(identities, own_device);
  if (above == nullptr || !above->is_gateway) {
    return Deny(
        Response::REASON_WRONG_CHAIN, client,
        fmt::format("{}: this gateway has no children that are gateways; its identities must come from a hub that "
                    "knows it as one",
                    Printable(client)));
  }
  uint64_t version = 0;
  for (size_t i = chain.devices.size(); i-- > 0;) {
    const std::string& id = chain.devices[i];
    const Identity* const device = Find(identities, id);
    if (device == nullptr) return Unknown(id);
    if (!device->enabled && (i > 0 || status == ClientStatus::kEnabled)) {
      return Deny(Response::REASON_IDENTITY_DISABLED, id, fmt::format("{} is disabled", id));
    }
    const bool must_be_gateway = i > 0 || chain.devices.size() == 1;
    if (must_be_gateway && !device->is_gateway) {
      return Deny(Response::REASON_WRONG_CHAIN, id, fmt::format("{} is no gateway", id));
    }
    if (!IsChildOf(*device, *above)) {
      return Deny(Response::REASON_WRONG_CHAIN, id, fmt::format("{} is not a child of {}", id, above->device_id));
    }
    version = std::max(version, device->version);
    above = device;
  }
  if (!chain.client.module_id.empty()) {
    const Identity* const module = Find(identities, client);
    if (module == nullptr) return Unknown(client);
    version = std::max(version, module->version);
  }
  const Identity* const speaker = Find(identities, chain.ActorIdentity().ClientId());
  if (speaker != nullptr) version = std::max(version, speaker->version);
  return {.decision = Response::DECISION_GRANTED,
          .detail = fmt::format("{} is spoken for by {}", client, chain.actor()),
          .valid_for = absl::InfiniteDuration(),
          .identity_version = version};
}

std::vector<std::string> GatewaysAbove(const iothub::AuthChain& chain, std::string_view subject) {
  const std::string_view device = subject.substr(0, subject.find('/'));
  const auto at = std::ranges::find(chain.devices, device);
  if (at == chain.devices.end()) return {};
  return {at + 1, chain.devices.end()};
}

ScopeTree::ScopeTree(const IdentityMap& identities, std::string_view own_device)
    : identities_(identities), own_device_(own_device) {
  for (const auto& [id, identity] : identities) {
    if (identity.is_gateway && !identity.scope.empty()) by_scope_[identity.scope] = &identity;
  }
}

const Identity* ScopeTree::ParentOf(const Identity& device) const {
  for (const std::string& scope : device.parent_scopes) {
    if (const auto parent = by_scope_.find(scope); parent != by_scope_.end()) return parent->second;
  }
  const auto parent = device.is_gateway ? by_scope_.end() : by_scope_.find(device.scope);
  return parent == by_scope_.end() ? nullptr : parent->second;
}

std::vector<std::string> ScopeTree::GatewaysAbove(const Identity& identity) const {
  const Identity* device = identity.module_id.empty() ? &identity : Find(identities_, identity.device_id);
  std::vector<std::string> gateways;
  // A circle in what the hub said must not be walked for ever.
  while (device != nullptr && device->device_id != own_device_ && gateways.size() < iothub::kAuthChainDevicesMax) {
    device = ParentOf(*device);
    if (device == nullptr) return {};
    if (device->device_id == own_device_) return gateways;
    gateways.push_back(device->device_id);
  }
  return {};
}

}  // namespace holdfast::auth
