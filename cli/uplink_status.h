// The link to the hub as the CLI asks for it and shows it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "cli/gateway.h"
#include "holdfast/uplink/v1/uplink.pb.h"

namespace holdfast::cli {

// Of the uplink that leads; if none says so, of any.
absl::StatusOr<uplink::v1::GetUplinkStatusResponse> LeadingUplinkStatus(const Gateway& gateway);

// "offline", "online".
std::string_view LinkModeName(uplink::v1::LinkMode mode);

nlohmann::json LinkJson(const uplink::v1::GetUplinkStatusResponse& status);

// For people: lines that begin with "link", "lag", "delivered" and, if there is something to say, others.
std::string LinkText(const uplink::v1::GetUplinkStatusResponse& status);

}  // namespace holdfast::cli
