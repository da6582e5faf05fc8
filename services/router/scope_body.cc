#include "services/router/scope_body.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "lib/base/json_depth.h"
#include "lib/base/status.h"
#include "lib/iothub/auth_chain.h"

namespace holdfast::router {
namespace {

using auth::v1::GetScopePageRequest;
using nlohmann::json;

// Null and absent are the same: an empty text.
absl::StatusOr<std::string> TextAt(const json& body, const char* name) {
  const auto at = body.find(name);
  if (at == body.end() || at->is_null()) return "";
  if (!at->is_string()) return absl::InvalidArgumentError(fmt::format("{} must be text", name));
  return at->get<std::string>();
}

absl::Status ReadBody(const json& body, ScopeQuestion question, GetScopePageRequest* request) {
  ASSIGN_OR_RETURN(*request->mutable_auth_chain(), TextAt(body, "authChain"));
  if (request->auth_chain().empty()) return absl::InvalidArgumentError("authChain is missing");
  if (question == ScopeQuestion::kOne) {
    auth::v1::IdentityName* const name = request->mutable_identity();
    ASSIGN_OR_RETURN(*name->mutable_device_id(), TextAt(body, "targetDeviceId"));
    ASSIGN_OR_RETURN(*name->mutable_module_id(), TextAt(body, "targetModuleId"));
    return absl::OkStatus();
  }
  GetScopePageRequest::Children* const children = request->mutable_children();
  ASSIGN_OR_RETURN(*children->mutable_continuation(), TextAt(body, "continuationLink"));
  if (const auto size = body.find("pageSize"); size != body.end() && !size->is_null()) {
    if (!size->is_number_integer() || *size < 1) {
      return absl::InvalidArgumentError("pageSize must be a number, 1 or more");
    }
    children->set_page_size(static_cast<uint32_t>(std::min<int64_t>(size->get<int64_t>(), kScopePageSizeMax)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GetScopePageRequest> ReadScopeRequest(ScopeQuestion question, std::string_view gateway,
                                                     std::string_view module, std::string_view body) {
  // IoT Hub contract: only $edgeHub acts.
  if (module != iothub::kEdgeHub) return absl::UnauthenticatedError("only $edgeHub may ask");
  if (!iothub::IsId(gateway)) return absl::InvalidArgumentError("the path names no gateway");
  if (IsNestedDeeper(body, kScopeJsonDepthMax)) {
    return absl::InvalidArgumentError(fmt::format("the body is nested deeper than {} levels", kScopeJsonDepthMax));
  }
  const json parsed = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return absl::InvalidArgumentError("the body must be a JSON object");
  GetScopePageRequest request;
  request.set_gateway_device_id(std::string(gateway));
  RETURN_IF_ERROR(ReadBody(parsed, question, &request));
  return request;
}

}  // namespace holdfast::router
