#pragma once

#include <string>

#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/base/clock.h"
#include "lib/base/metrics.h"
#include "lib/iothub/auth_chain.h"
#include "services/auth/authenticator.h"
#include "services/auth/failure_limits.h"
#include "services/auth/failure_log.h"
#include "services/auth/hub_credential.h"
#include "services/auth/identity_cache.h"
#include "services/auth/trusted_clock.h"
#include "services/auth/wanted_identities.h"

namespace holdfast::auth {

// Tells child gateways of the identities below them. Its rules are Authenticator's and those of chain_rules.h and
// child_scope.h. Thread-safe.
class ChildScopesService final : public v1::ChildScopes::CallbackService {
 public:
  struct Parts {
    const Authenticator& authenticator;
    const IdentityCache& cache;
    const HubIdentity& hub;
    WantedIdentities& wanted;
    FailureLimits& limits;
    const TrustedClock& trusted_clock;
    const Clock& clock;
    Metrics& metrics;
  };
  // All must outlive it.
  explicit ChildScopesService(const Parts& parts) : parts_(parts) {}

  // Answers at once, or, for an identity that is not known here, when the hub was asked for it, without holding a
  // thread meanwhile.
  grpc::ServerUnaryReactor* GetScopePage(grpc::CallbackServerContext* context, const v1::GetScopePageRequest* request,
                                         v1::GetScopePageResponse* response) override;

 private:
  // `wanted`: set to the name of an identity that the hub might know, and `chain` to what it was asked by.
  absl::Status Answer(const v1::GetScopePageRequest& request, v1::GetScopePageResponse* response,
                      iothub::AuthChain* chain, std::string* wanted);
  absl::Status Judged(const v1::GetScopePageRequest& request, const iothub::AuthChain& chain,
                      const IdentityMap& identities, v1::GetScopePageResponse* response, std::string* wanted);
  void Count(const v1::GetScopePageRequest& request, const v1::GetScopePageResponse& response);

  const Parts parts_;
  FailureLog failure_log_;
};

}  // namespace holdfast::auth
