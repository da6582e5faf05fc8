#include "cli/uplink_status.h"

#include <utility>

#include "holdfast/uplink/v1/uplink.grpc.pb.h"
#include "lib/base/status.h"

namespace holdfast::cli {

absl::StatusOr<uplink::v1::GetUplinkStatusResponse> LeadingUplinkStatus(const Gateway& gateway) {
  ASSIGN_OR_RETURN(
      auto all, (gateway.CallEach<uplink::v1::UplinkStatus, uplink::v1::GetUplinkStatusResponse>(
                    "uplink", &uplink::v1::UplinkStatus::Stub::GetUplinkStatus, uplink::v1::GetUplinkStatusRequest())));
  for (auto& status : all) {
    if (status.leads()) return std::move(status);
  }
  return std::move(all.front());
}

}  // namespace holdfast::cli
