#pragma once

#include "absl/status/statusor.h"
#include "cli/gateway.h"
#include "holdfast/uplink/v1/uplink.pb.h"

namespace holdfast::cli {

// Of the uplink that leads; if none says so, of any.
absl::StatusOr<uplink::v1::GetUplinkStatusResponse> LeadingUplinkStatus(const Gateway& gateway);

}  // namespace holdfast::cli
