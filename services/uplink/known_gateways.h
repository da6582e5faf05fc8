#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/string_map.h"
#include "lib/rpc/channel.h"

namespace holdfast::uplink {

// The gateways between a device and this one, nearest to the device first, as ChildLogin wants them.
std::string JoinGateways(const std::vector<std::string>& gateways);

// By device, for those below child gateways: the gateways between, as auth has kept them from an earlier sync. Whoever
// speaks for them to the hub before the next sync needs them. Waits for auth at most `timeout`. Errors of the call:
// UNAVAILABLE if auth is away or has not read the store yet.
absl::StatusOr<StringMap<std::string>> ReadKnownGateways(rpc::Channels* auth, absl::Duration timeout);

}  // namespace holdfast::uplink
