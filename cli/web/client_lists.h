// Pages of the lists that may be long, asked for when somebody looks at them.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "cli/gateway.h"

namespace holdfast::web {

inline constexpr uint32_t kListPage = 50;

// Each: {"clients" or "twins": […], "more": bool}, at most kListPage of them, in order of client id, behind `after` (""
// = from the start). Of all routers together.
absl::StatusOr<nlohmann::json> ClientsPage(const cli::Gateway& gateway, const std::string& after);
// Names, versions, sizes and times; no values.
absl::StatusOr<nlohmann::json> TwinsPage(const cli::Gateway& gateway, const std::string& after);

}  // namespace holdfast::web
