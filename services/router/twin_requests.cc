#include "services/router/twin_requests.h"

#include <fmt/format.h>

#include "services/router/session.h"

namespace holdfast::router {

void TwinRequests::OnGet(Session& session, std::string_view rid) {
  session.Send(fmt::format("$iothub/twin/res/503/?$rid={}", rid), "");
}

void TwinRequests::OnReportedPatch(Session& session, std::string_view rid, std::string_view patch) {
  if (!rid.empty()) session.Send(fmt::format("$iothub/twin/res/503/?$rid={}", rid), "");
}

}  // namespace holdfast::router
