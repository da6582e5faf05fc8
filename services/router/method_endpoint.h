// Method invocation over HTTPS (IoT Edge contract: POST /twins/{d}[/modules/{m}]/methods), by which a module calls
// another one, or a device of the gateway.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "holdfast/auth/v1/auth.pb.h"
#include "lib/iothub/user_name.h"
#include "services/router/auth_client.h"
#include "services/router/https_front.h"
#include "services/router/method_calls.h"

namespace holdfast::router {

// Who may call whom: "CALLER -> TARGET", both client ids or ids with a '*' at the end: "edge1/hmi -> press-*". No
// rules: everybody everybody.
class MethodRules {
 public:
  // INVALID_ARGUMENT with the rule.
  static absl::StatusOr<MethodRules> Parse(const std::vector<std::string>& rules);
  bool Allows(std::string_view caller, std::string_view target) const;

 private:
  struct Rule {
    std::string caller;
    std::string target;
  };
  std::vector<Rule> rules_;
};

// Checks callers and hands calls over. Thread-safe.
class MethodEndpoint {
 public:
  struct Parts {
    AuthClient& auth;
    MethodCalls& calls;
    MethodRules rules;
    // Id of the gateway's own device; "" while it is not known: then modules of any device may call.
    std::function<std::string()> gateway_device_id;
  };
  explicit MethodEndpoint(Parts parts) : parts_(std::move(parts)) {}

  // Both must outlive `front`'s connections.
  void AddTo(HttpsFront* front);

 private:
  void Handle(HttpRequest request, HttpsFront::Respond respond);

  const Parts parts_;
};

}  // namespace holdfast::router
