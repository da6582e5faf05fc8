// What commands print with --json, for those who print it and for those who keep it. Each asks the running gateway; an
// error is the first service's that could not be asked.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"
#include "cli/context.h"
#include "cli/gateway.h"

namespace holdfast::cli {

// What can't be asked is null in there.
nlohmann::json StatusReport(const Gateway& gateway);
nlohmann::json DoctorReport(const Context& context);
absl::StatusOr<nlohmann::json> QueuesReport(const Gateway& gateway);
absl::StatusOr<nlohmann::json> SessionsReport(const Gateway& gateway);
absl::StatusOr<nlohmann::json> RoutesReport(const Gateway& gateway);
// Names and states; auth tells nobody a key.
absl::StatusOr<nlohmann::json> IdentitiesReport(const Gateway& gateway);
// Without content: names, versions, sizes and times.
absl::StatusOr<nlohmann::json> TwinsReport(const Gateway& gateway, bool with_content);

}  // namespace holdfast::cli
