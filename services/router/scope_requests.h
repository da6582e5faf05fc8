#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "holdfast/auth/v1/auth.pb.h"
#include "lib/pki/recipient.h"
#include "services/router/auth_client.h"
#include "services/router/https_front.h"

namespace holdfast::router {

// A longer body is answered with 413: the longest chain and a continuation fit many times over.
inline constexpr size_t kScopeBodyBytesMax = 16 * 1024;

enum class ScopeQuestion : uint8_t { kList, kOne };

// What a request asks auth. INVALID_ARGUMENT: malformed. UNAUTHENTICATED: `module` is one that may not ask. Pure.
absl::StatusOr<auth::v1::GetScopePageRequest> ReadScopeRequest(ScopeQuestion question, std::string_view gateway,
                                                               std::string_view module, std::string_view body);

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
