#include "services/router/method_endpoint.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "lib/base/log.h"
#include "services/router/method_body.h"

namespace holdfast::router {
namespace {

using auth::v1::AuthenticateResponse;

constexpr std::string_view kArrow = "->";
constexpr size_t kRulesMax = 1000;

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

bool Matches(std::string_view pattern, std::string_view id) {
  if (!pattern.ends_with('*')) return pattern == id;
  pattern.remove_suffix(1);
  return id.starts_with(pattern);
}

}  // namespace

absl::StatusOr<MethodRules> MethodRules::Parse(const std::vector<std::string>& rules) {
  MethodRules parsed;
  if (rules.size() > kRulesMax) return absl::InvalidArgumentError(fmt::format("at most {} method rules", kRulesMax));
  for (const std::string& rule : rules) {
    const size_t arrow = rule.find(kArrow);
    const std::string_view text = rule;
    const std::string_view caller = Trim(text.substr(0, std::min(arrow, text.size())));
    const std::string_view target = arrow == std::string::npos ? "" : Trim(text.substr(arrow + kArrow.size()));
    if (caller.empty() || target.empty()) {
      return absl::InvalidArgumentError(
          fmt::format("method rule \"{}\": expected \"CALLER -> TARGET\", for example \"edge1/hmi -> press-*\"", rule));
    }
    parsed.rules_.push_back({std::string(caller), std::string(target)});
  }
  return parsed;
}

bool MethodRules::Allows(std::string_view caller, std::string_view target) const {
  if (rules_.empty()) return true;
  for (const Rule& rule : rules_) {
    if (Matches(rule.caller, caller) && Matches(rule.target, target)) return true;
  }
  return false;
}

void MethodEndpoint::AddTo(HttpsFront* front) {
  const auto handle = [this](HttpRequest request, HttpsFront::Respond respond) {
    Handle(std::move(request), std::move(respond));
  };
  front->Add("POST", "/twins/{}/methods", handle);
  front->Add("POST", "/twins/{}/modules/{}/methods", handle);
}

void MethodEndpoint::Handle(HttpRequest request, HttpsFront::Respond respond) {
  const iothub::Identity target{request.names[0], request.names.size() > 1 ? request.names[1] : ""};
  if (!iothub::IsId(target.device_id) || (!target.module_id.empty() && !iothub::IsId(target.module_id))) {
    return respond(HttpError(400, "the path names no device or module id"));
  }
  const size_t slash = request.caller.find('/');
  if (slash == std::string::npos) {
    return respond(HttpError(400, "the header x-ms-edge-moduleId must name the caller: device/module"));
  }
  const iothub::Identity caller{request.caller.substr(0, slash), request.caller.substr(slash + 1)};
  if (!iothub::IsId(caller.device_id) || !iothub::IsId(caller.module_id)) {
    return respond(HttpError(400, "the header x-ms-edge-moduleId names no module"));
  }
  auto call = ParseMethodCall(request.body);
  if (!call.ok()) return respond(MethodResponse(call.status()));
  call->client_id = target.ClientId();
  call->caller = caller.ClientId();
  auth::v1::AuthenticateRequest question;
  question.set_device_id(caller.device_id);
  question.set_module_id(caller.module_id);
  question.set_password(std::move(request.authorization));
  question.set_peer(std::move(request.peer));
  for (std::string& der : request.certificate_chain) *question.add_certificate_chain() = std::move(der);
  parts_.auth.Authenticate(std::move(question), [this, call = *std::move(call), caller, respond = std::move(respond)](
                                                    absl::StatusOr<AuthenticateResponse> answer) mutable {
    if (!answer.ok() || answer->decision() == AuthenticateResponse::DECISION_NOT_READY) {
      return respond(HttpError(503, "the gateway can't judge the caller now; try again"));
    }
    if (answer->decision() != AuthenticateResponse::DECISION_GRANTED) {
      spdlog::info("method call refused caller={} target={} reason=\"{}\"", Printable(call.caller),
                   Printable(call.client_id), answer->detail());
      return respond(HttpError(401, "the caller's credential is not accepted"));
    }
    const std::string gateway = parts_.gateway_device_id();
    if ((!gateway.empty() && caller.device_id != gateway) || !parts_.rules.Allows(call.caller, call.client_id)) {
      spdlog::info("method call refused caller={} target={} reason=\"it may not call\"", Printable(call.caller),
                   Printable(call.client_id));
      return respond(HttpError(403, "the caller may not call this client"));
    }
    parts_.calls.Invoke(std::move(call),
                        [respond = std::move(respond)](const absl::StatusOr<v1::InvokeMethodResponse>& result) {
                          respond(MethodResponse(result));
                        });
  });
}

}  // namespace holdfast::router
