// The one bridge between absl::Status (inside) and grpc::Status (at the edge of a service). The codes are the same
// numbers.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace holdfast::rpc {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

// True for the codes that mean "later, with back-off": UNAVAILABLE, DEADLINE_EXCEEDED.
bool IsTransient(const absl::Status& status);

}  // namespace holdfast::rpc
