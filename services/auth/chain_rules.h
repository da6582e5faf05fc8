// How identities hang together below this gateway, by what the hub said of their scopes (IoT Hub contract: device
// scope): a gateway has a scope of its own; who has that scope, or has it among the parents', is its child. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/base/string_map.h"
#include "lib/iothub/auth_chain.h"
#include "services/auth/authenticator.h"
#include "services/auth/identity.h"

namespace holdfast::auth {

// Whether `device` has `gateway` as a parent.
bool IsChildOf(const Identity& device, const Identity& gateway);

// Judges an auth-chain, not a credential: from this gateway (`own_device`) down, each device must be known, enabled and
// the child of the one above, all above the client gateways; and the client's module known, if it has one. If granted,
// the verdict has the highest version of all that it rests on. If denied, `subject` is who is at fault, and all above
// that one is as the chain says. `status`: whether the client itself may be disabled.
enum class ClientStatus { kEnabled, kAny };
Verdict JudgeChain(const iothub::AuthChain& chain, const IdentityMap& identities, std::string_view own_device,
                   ClientStatus status);

// The gateways between `subject` of a denied chain and this gateway, nearest to it first.
std::vector<std::string> GatewaysAbove(const iothub::AuthChain& chain, std::string_view subject);

// Answers for many identities of one set, who is above them. The set must outlive it. Not thread-safe.
class ScopeTree {
 public:
  ScopeTree(const IdentityMap& identities, std::string_view own_device);

  // The gateways between it and this one, nearest to it first; empty for this gateway's children, for itself, and for
  // who does not hang below it.
  std::vector<std::string> GatewaysAbove(const Identity& identity) const;

 private:
  const Identity* ParentOf(const Identity& device) const;

  const IdentityMap& identities_;
  const std::string own_device_;
  StringMap<const Identity*> by_scope_;  // gateways by their own scope
};

}  // namespace holdfast::auth
