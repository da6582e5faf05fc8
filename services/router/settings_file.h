#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/routes/route_table.h"

namespace holdfast::router {

// The routes of a deployment manifest (routes::ParseManifest has its forms), compiled. INVALID_ARGUMENT or NOT_FOUND
// with the file's name and everything that is wrong in it.
absl::StatusOr<std::shared_ptr<const routes::RouteTable>> ReadRoutes(const std::string& settings_file);

}  // namespace holdfast::router
