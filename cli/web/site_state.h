// What one round of questions to the services of a gateway gave. What could not be asked is absent.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "cli/gateway.h"
#include "holdfast/auth/v1/auth.pb.h"
#include "holdfast/router/v1/router.pb.h"
#include "holdfast/store/v1/store.pb.h"
#include "holdfast/uplink/v1/uplink.pb.h"

namespace holdfast::web {

struct InstanceState {
  std::string service;
  std::string name;
  cli::Health health = cli::Health::kUnreachable;
  pid_t pid = 0;       // 0 = not known: it is in another container
  uint64_t life = 0;   // another one after a restart; 0 = not known
  std::string detail;  // what is wrong and what to do; empty when serving
};

// Of auth, without the identities themselves: there may be 20,000.
struct IdentitiesState {
  uint32_t known = 0;
  uint32_t disabled = 0;
  auth::v1::ListIdentitiesResponse response;
  std::string trust_bundle_pem;  // "" = auth has none
};

struct SiteState {
  absl::Duration at;  // since boot
  absl::Time wall;
  std::vector<InstanceState> instances;  // in the order in which services start, then of name

  // By instance.
  std::map<std::string, uplink::v1::GetUplinkStatusResponse> uplinks;
  std::map<std::string, router::v1::GetRouterStatusResponse> routers;
  std::optional<store::v1::GetStoreStatusResponse> store;
  // The queues bound for the hub, "upstream" and "upstream/dead"; absent where there is none, or no store.
  std::optional<store::v1::Queue> upstream;
  std::optional<store::v1::Queue> dead;
  // All of them; only if they were asked for.
  std::optional<std::vector<store::v1::Queue>> queues;
  std::optional<IdentitiesState> identities;

  // Of the one that leads; if none says so, of any; null: none answers.
  const uplink::v1::GetUplinkStatusResponse* Uplink() const;
  // Of all together: sessions and counts are sums, routes' too; what does not add up is the first one's.
  std::optional<router::v1::GetRouterStatusResponse> Router() const;
  // Whether the link is up, so that messages can leave: syncing, online or suspect.
  bool IsLinkUp() const;
  // Messages that the hub has not acknowledged; of the store's own count if no uplink can be asked.
  std::optional<uint64_t> Backlog() const;
};

}  // namespace holdfast::web
