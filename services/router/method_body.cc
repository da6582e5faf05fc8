#include "services/router/method_body.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "lib/base/json_depth.h"
#include "lib/base/status.h"

namespace holdfast::router {
namespace {

using nlohmann::json;

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

absl::StatusOr<MethodCall> ParseMethodCall(std::string_view body) {
  if (IsNestedDeeper(body, kMethodJsonDepthMax)) {
    return absl::InvalidArgumentError(fmt::format("the body is nested deeper than {} levels", kMethodJsonDepthMax));
  }
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
    payload = json::value_t::discarded;
    if (!IsNestedDeeper(result->payload(), kMethodJsonDepthMax)) {
      payload = json::parse(result->payload(), nullptr, /*allow_exceptions=*/false);
    }
    // A client that answers with something else than JSON is passed on as text rather than not at all.
    if (payload.is_discarded()) payload = result->payload();
  }
  return {.status = 200,
          .body = json{{"status", result->status()}, {"payload", std::move(payload)}}.dump(
              -1, ' ', false, json::error_handler_t::replace)};
}

}  // namespace holdfast::router
