#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cli/gateway.h"
#include "holdfast/store/v1/store.pb.h"

namespace holdfast::cli {

// The store's queues whose name starts with `prefix`, all pages of them.
absl::StatusOr<store::v1::ListQueuesResponse> ListQueues(const Gateway& gateway, const std::string& prefix);

}  // namespace holdfast::cli
