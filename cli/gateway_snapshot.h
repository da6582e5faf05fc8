// One look at the whole gateway: what the services tell, as JSON and as one screen of text.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/gateway.h"
#include "cli/readiness.h"
#include "holdfast/auth/v1/auth.pb.h"
#include "holdfast/router/v1/router.pb.h"
#include "holdfast/store/v1/store.pb.h"
#include "holdfast/uplink/v1/uplink.pb.h"

namespace holdfast::cli {

struct ServiceHealth {
  Instance instance;
  HealthReport report;
};

// All that the services told; what could not be asked stays empty.
struct GatewaySnapshot {
  std::vector<ServiceHealth> services;
  absl::StatusOr<uplink::v1::GetUplinkStatusResponse> uplink;
  absl::StatusOr<router::v1::GetRouterStatusResponse> router;
  absl::StatusOr<store::v1::ListQueuesResponse> queues;
  absl::StatusOr<store::v1::GetStoreStatusResponse> store;
  absl::StatusOr<auth::v1::ListIdentitiesResponse> identities;

  // Every service does its work.
  bool healthy() const;
  Readiness Judge() const;
};

GatewaySnapshot TakeSnapshot(const Gateway& gateway);

nlohmann::json SnapshotJson(const Gateway& gateway, const GatewaySnapshot& snapshot);

// Lines that end in '\n'.
std::string SnapshotText(const GatewaySnapshot& snapshot);

}  // namespace holdfast::cli
