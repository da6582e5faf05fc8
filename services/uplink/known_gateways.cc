#include "services/uplink/known_gateways.h"

#include <grpcpp/grpcpp.h>

#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "lib/rpc/status.h"

namespace holdfast::uplink {

std::string JoinGateways(const std::vector<std::string>& gateways) {
  std::string joined;
  for (const std::string& gateway : gateways) {
    if (!joined.empty()) joined.push_back(';');
    joined += gateway;
  }
  return joined;
}

absl::StatusOr<StringMap<std::string>> ReadKnownGateways(rpc::Channels* auth, absl::Duration timeout) {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, timeout);
  auth::v1::ListIdentitiesResponse response;
  const auto stub = auth::v1::Identities::NewStub(auth->Pick());
  const absl::Status status = rpc::FromGrpc(stub->ListIdentities(&context, {}, &response));
  if (!status.ok()) return status;
  StringMap<std::string> gateways;
  for (const auth::v1::Identity& identity : response.identities()) {
    if (!identity.module_id().empty() || identity.gateways().empty()) continue;
    gateways[identity.device_id()] = JoinGateways({identity.gateways().begin(), identity.gateways().end()});
  }
  return gateways;
}

}  // namespace holdfast::uplink
