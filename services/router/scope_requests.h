#pragma once

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/pki/recipient.h"
#include "services/router/auth_client.h"
#include "services/router/https_front.h"
#include "services/router/scope_body.h"

namespace holdfast::router {

// The device scope API for child gateways (IoT Hub contract: what the gateway serves to child gateways):
//
//   POST /devices/{gateway}/modules/$edgeHub/devicesAndModulesInTargetDeviceScope
//        {"pageSize": 10, "continuationLink": text | null, "authChain": "target;…;gateway"}
//   POST /devices/{gateway}/modules/$edgeHub/getDeviceAndModuleOnBehalfOf
//        {"targetDeviceId", "targetModuleId" | null, "authChain"}
//
// with the token of `{gateway}/$edgeHub` in the header Authorization. Who may ask is for auth to judge; here the
// request is read, and the page that auth sealed is opened, to be written into the caller's TLS connection and wiped
// (docs/decisions/0010-child-gateways.md). Status: 400 malformed, 401 no good credential, 403 not below that gateway,
// 404 no such identity, 413 too long, 429 too many failures, 503 auth can't answer now. Thread-safe.
class ScopeRequests {
 public:
  // `auth` must outlive it.
  static absl::StatusOr<std::unique_ptr<ScopeRequests>> Create(AuthClient* auth, absl::Time now);

  // Must outlive `front`'s connections.
  void AddTo(HttpsFront* front) const;

 private:
  ScopeRequests(AuthClient* auth, pki::Recipient recipient)
      : auth_(auth), recipient_(std::make_shared<const pki::Recipient>(std::move(recipient))) {}
  void Handle(ScopeQuestion question, HttpRequest request, HttpsFront::Respond respond) const;

  AuthClient* const auth_;
  const std::shared_ptr<const pki::Recipient> recipient_;
};

}  // namespace holdfast::router
