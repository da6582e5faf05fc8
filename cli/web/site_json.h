// What the services said, as the page reads it. Times are milliseconds since 1970 (UTC), durations seconds. What could
// not be asked is null. Pure.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/time/time.h"
#include "cli/web/site_state.h"

namespace holdfast::web {

// What a page of the web head knows besides: its own name and certificate.
struct HeadFacts {
  std::string gateway;  // the gateway's host name
  std::string version;
  absl::Time certificate_until = absl::InfiniteFuture();  // InfiniteFuture: plain HTTP
};

// By name: "link", "clients", "services", "store", "routes", "certificates", "readiness". A section that is the same as
// before need not be sent again.
std::map<std::string, nlohmann::json> Sections(const SiteState& state, const HeadFacts& facts);

}  // namespace holdfast::web
