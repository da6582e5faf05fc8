#include "tests/hubsim/scope_api.h"

#include <fmt/format.h>

#include "absl/strings/numbers.h"
#include "lib/base/status.h"
#include "lib/mqtt/property_bag.h"
#include "tests/hubsim/http_status.h"
#include "tests/hubsim/scope.h"

namespace holdfast::hubsim {
namespace {

using nlohmann::json;

constexpr std::string_view kTokenKey = "continuationToken=";

absl::Status Invalid(std::string text) {
  return absl::InvalidArgumentError(text);
}

HttpResponse PageResponse(const ScopePage& page, const std::string& link) {
  HttpResponse response;
  const json body = {
      {"devices", page.devices}, {"modules", page.modules}, {"continuationLink", link.empty() ? json() : json(link)}};
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return response;
}

absl::StatusOr<size_t> PageSize(int64_t wanted) {
  if (wanted < 1) return Invalid("a page has 1 device or more");
  return std::min<size_t>(static_cast<size_t>(wanted), kPageDevicesMax);
}

// A page, unless a fault is set for it.
absl::StatusOr<HttpResponse> Page(const Device& edge, const std::string& token, size_t size, const std::string& path,
                                  const std::string& query, HubState& state) {
  PageStart start;
  if (!token.empty()) {
    ASSIGN_OR_RETURN(start, ParseContinuationToken(token));
  }
  if (Fault* fault = state.faults.FindRest(FaultKind::kRestPage, path); fault != nullptr && fault->page == start.page) {
    ++fault->struck;
    return ErrorResponse(fault->code, "fault");
  }
  ++state.counters.scope_pages;
  const ScopePage page = ReadScope(state.registry, edge, start, size);
  const std::string link = page.token.empty() ? "" : fmt::format("{}?{}{}{}", path, query, kTokenKey, page.token);
  return PageResponse(page, link);
}

absl::StatusOr<HttpResponse> List(const HttpRequest& request, const Device& edge, HubState& state) {
  int64_t count = kPageDevicesDefault;
  const std::string text = request.Query("deviceCount");
  if (!text.empty() && !absl::SimpleAtoi(text, &count)) return Invalid("deviceCount must be a number");
  ASSIGN_OR_RETURN(const size_t size, PageSize(count));
  const std::string query = fmt::format("deviceCount={}&api-version={}&", size, request.Query("api-version"));
  return Page(edge, request.Query("continuationToken"), size, request.path, query, state);
}

absl::StatusOr<HttpResponse> Single(const HttpRequest& request, const Device& edge, HubState& state) {
  ++state.counters.scope_identities;
  const std::string target = request.Query("targetDeviceId");
  ASSIGN_OR_RETURN(const ScopePage page, ReadIdentity(state.registry, target, request.Query("targetModuleId")));
  if (!IsInScope(*state.registry.FindDevice(target), edge)) {
    return absl::PermissionDeniedError(fmt::format("{} is not in the scope of {}", target, edge.device_id));
  }
  return PageResponse(page, "");
}

absl::StatusOr<std::string> TextAt(const json& body, const char* key) {
  const auto at = body.find(key);
  if (at == body.end() || at->is_null()) return "";
  if (!at->is_string()) return Invalid(fmt::format("{} must be text", key));
  return at->get<std::string>();
}

// The chain must be true and end with the gateway that asks. A module's own part may be in it or not.
absl::Status CheckAuthChain(const std::string& chain, const std::string& device, const std::string& module,
                            const Device& edge, const Registry& registry) {
  if (chain.empty()) return Invalid("authChain is missing");
  const bool begins_with_module = !module.empty() && chain.starts_with(device + "/" + module + ";");
  // Whether the target is enabled is part of the answer, not of the question.
  const auto actor = registry.CheckChain(chain, device, begins_with_module ? module : "", Registry::Leaf::kAnyStatus);
  if (!actor.ok()) return actor.status();
  if ((*actor)->device_id != edge.device_id)
    return absl::PermissionDeniedError("the authChain does not end with the caller");
  return absl::OkStatus();
}

absl::StatusOr<HttpResponse> ListTarget(const HttpRequest& request, const json& body, const Device& edge,
                                        HubState& state) {
  ASSIGN_OR_RETURN(const std::string chain, TextAt(body, "authChain"));
  ASSIGN_OR_RETURN(std::string token, TextAt(body, "continuationLink"));
  const std::string target(chain.substr(0, chain.find(';')));
  RETURN_IF_ERROR(CheckAuthChain(chain, target, "", edge, state.registry));
  const Device& device = *state.registry.FindDevice(target);
  if (!device.is_edge) return Invalid(fmt::format("{} is no gateway", target));
  int64_t wanted = kPageDevicesDefault;
  if (const auto at = body.find("pageSize"); at != body.end() && !at->is_null()) {
    if (!at->is_number_integer()) return Invalid("pageSize must be a number");
    wanted = at->get<int64_t>();
  }
  ASSIGN_OR_RETURN(const size_t size, PageSize(wanted));
  if (const size_t at = token.find(kTokenKey); at != std::string::npos) token.erase(0, at + kTokenKey.size());
  return Page(device, token, size, request.path, "", state);
}

absl::StatusOr<HttpResponse> SingleOnBehalfOf(const json& body, const Device& edge, HubState& state) {
  ++state.counters.scope_identities;
  ASSIGN_OR_RETURN(const std::string chain, TextAt(body, "authChain"));
  ASSIGN_OR_RETURN(const std::string target, TextAt(body, "targetDeviceId"));
  ASSIGN_OR_RETURN(const std::string module, TextAt(body, "targetModuleId"));
  ASSIGN_OR_RETURN(const ScopePage page, ReadIdentity(state.registry, target, module));
  RETURN_IF_ERROR(CheckAuthChain(chain, target, module, edge, state.registry));
  return PageResponse(page, "");
}

absl::StatusOr<HttpResponse> Answer(const HttpRequest& request, HubState& state) {
  const std::string& edge_id = request.parts[1];
  RETURN_IF_ERROR(state.authenticator->CheckGateway(request.authorization, edge_id, state.clock.WallNow()));
  const Device& edge = *state.registry.FindDevice(edge_id);
  const std::string& what = request.parts[4];
  if (what == "devicesAndModulesInDeviceScope" || what == "deviceAndModuleInDeviceScope") {
    if (request.method != "GET") return ErrorResponse(405, "GET only");
    return what == "deviceAndModuleInDeviceScope" ? Single(request, edge, state) : List(request, edge, state);
  }
  if (what == "devicesAndModulesInTargetDeviceScope" || what == "getDeviceAndModuleOnBehalfOf") {
    if (request.method != "POST") return ErrorResponse(405, "POST only");
    const json body = json::parse(request.body, nullptr, false);
    if (!body.is_object()) return Invalid("the body must be a JSON object");
    return what == "getDeviceAndModuleOnBehalfOf" ? SingleOnBehalfOf(body, edge, state)
                                                  : ListTarget(request, body, edge, state);
  }
  return absl::NotFoundError("no such resource");
}

}  // namespace

bool IsScopeRequest(const HttpRequest& request) {
  return request.parts.size() == 5 && request.parts[0] == "devices" && request.parts[2] == "modules" &&
         request.parts[3] == kEdgeHub;
}

HttpResponse AnswerScopeRequest(const HttpRequest& request, HubState& state) {
  const auto response = Answer(request, state);
  return response.ok() ? *response : ErrorResponse(response.status());
}

}  // namespace holdfast::hubsim
