#include "services/router/method_endpoint.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "lib/base/log.h"
#include "lib/base/status.h"

namespace holdfast::router {
namespace {

using auth::v1::AuthenticateResponse;
using nlohmann::json;

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

// Seconds, whole or not; nullopt if it is no number.
std::optional<absl::Duration> Seconds(const json& value) {
  if (!value.is_number()) return std::nullopt;
  const double seconds = value.get<double>();
  if (!(seconds >= 0 && seconds <= 1e6)) return std::nullopt;
  return absl::Seconds(seconds);
}

int HttpStatus(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
      return 504;
    default:
      return 500;
  }
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

absl::StatusOr<MethodCall> ParseMethodCall(std::string_view body) {
  const json document = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) return absl::InvalidArgumentError("the body is no JSON object");
  const auto name = document.find("methodName");
  if (name == document.end() || !name->is_string()) return absl::InvalidArgumentError("methodName is missing");
  MethodCall call{.name = name->get<std::string>(), .payload = "null"};
  if (const auto payload = document.find("payload"); payload != document.end()) call.payload = payload->dump();
  const auto read = [&document](const char* key, absl::Duration* out) {
    const auto value = document.find(key);
    if (value == document.end() || value->is_null()) return absl::OkStatus();
    const auto seconds = Seconds(*value);
    if (!seconds) return absl::InvalidArgumentError(fmt::format("{} is no number of seconds", key));
    *out = *seconds;
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(read("responseTimeoutInSeconds", &call.response_timeout));
  RETURN_IF_ERROR(read("connectTimeoutInSeconds", &call.connect_timeout));
  return call;
}

HttpResponse MethodResponse(const absl::StatusOr<v1::InvokeMethodResponse>& result) {
  if (!result.ok()) return HttpError(HttpStatus(result.status()), std::string(result.status().message()));
  json payload = nullptr;
  if (!result->payload().empty()) {
    payload = json::parse(result->payload(), nullptr, /*allow_exceptions=*/false);
    // A client that answers with something else than JSON is passed on as text rather than not at all.
    if (payload.is_discarded()) payload = result->payload();
  }
  return {.status = 200,
          .body = json{{"status", result->status()}, {"payload", std::move(payload)}}.dump(
              -1, ' ', false, json::error_handler_t::replace)};
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
