// Twins and direct methods of the service API:
//   GET, PATCH, PUT /twins/{d}[/modules/{m}]       POST /twins/{d}[/modules/{m}]/methods
#include <fmt/format.h>

#include "lib/base/status.h"
#include "tests/hubsim/http_status.h"
#include "tests/hubsim/service_api.h"

namespace holdfast::hubsim {
namespace {

using boost::asio::awaitable;
using nlohmann::json;

// Seconds at `key`; `otherwise` if absent.
absl::StatusOr<absl::Duration> Seconds(const json& body, const char* key, int64_t otherwise, int64_t min) {
  const auto at = body.find(key);
  if (at == body.end() || at->is_null()) return absl::Seconds(otherwise);
  if (!at->is_number_integer() || *at < min || *at > kMethodTimeoutSecondsMax) {
    return absl::InvalidArgumentError(fmt::format("{} must be {} to {}", key, min, kMethodTimeoutSecondsMax));
  }
  return absl::Seconds(at->get<int64_t>());
}

absl::StatusOr<MethodCall> CallFromJson(const json& body, const std::string& client) {
  if (!body.is_object()) return absl::InvalidArgumentError("the body must be a JSON object");
  MethodCall call{.client = client};
  const auto name = body.find("methodName");
  if (name == body.end() || !name->is_string()) return absl::InvalidArgumentError("methodName is missing");
  call.name = name->get<std::string>();
  if (call.name.empty() || call.name.size() > kMethodNameBytesMax) {
    return absl::InvalidArgumentError(fmt::format("methodName has 1 to {} bytes", kMethodNameBytesMax));
  }
  const auto payload = body.find("payload");
  call.payload = payload == body.end() ? "null" : payload->dump(-1, ' ', false, json::error_handler_t::replace);
  if (call.payload.size() > kMethodPayloadBytesMax) {
    return absl::InvalidArgumentError(fmt::format("payload has {} bytes at most", kMethodPayloadBytesMax));
  }
  ASSIGN_OR_RETURN(call.connect_timeout, Seconds(body, "connectTimeoutInSeconds", 0, 0));
  ASSIGN_OR_RETURN(call.response_timeout, Seconds(body, "responseTimeoutInSeconds", 30, kMethodTimeoutSecondsMin));
  return call;
}

}  // namespace

// Whether the path is /twins/{d} or /twins/{d}/modules/{m}, with `rest` more segments.
std::string ServiceApi::TwinId(const HttpRequest& request, size_t rest) {
  const auto& parts = request.parts;
  if (parts.size() == 2 + rest) return parts[1];
  if (parts.size() == 4 + rest && parts[2] == "modules") return fmt::format("{}/{}", parts[1], parts[3]);
  return "";
}

bool ServiceApi::Exists(const std::string& id) const {
  const auto [device, module] = SplitId(id);
  return module.empty() ? state_.registry.FindDevice(device) != nullptr
                        : state_.registry.FindModule(device, module) != nullptr;
}

awaitable<HttpResponse> ServiceApi::AnswerTwins(const HttpRequest& request) {
  if (request.parts.back() == "methods") {
    if (const std::string id = TwinId(request, 1); !id.empty()) co_return co_await InvokeMethod(request, id);
  }
  const std::string id = TwinId(request, 0);
  if (id.empty()) co_return ErrorResponse(404, "no such resource");
  if (!Exists(id)) co_return ErrorResponse(404, fmt::format("ErrorCode:DeviceNotFound;{}", id));
  if (request.method == "GET") co_return ShowTwin(id);
  co_return EditTwin(request, id);
}

HttpResponse ServiceApi::ShowTwin(const std::string& id) const {
  const auto [device_id, module_id] = SplitId(id);
  const Device& device = *state_.registry.FindDevice(device_id);
  const Twin& twin = state_.twins.Get(id);
  json body = {{"deviceId", device_id},
               {"etag", twin.Etag()},
               {"deviceEtag", device.etag},
               {"status", device.enabled ? "enabled" : "disabled"},
               {"connectionState", devices_.IsConnected(id) ? "Connected" : "Disconnected"},
               {"lastActivityTime", "0001-01-01T00:00:00Z"},
               {"cloudToDeviceMessageCount", 0},
               {"authenticationType", Name(device.authentication.type)},
               {"version", twin.version},
               {"capabilities", {{"iotEdge", device.is_edge}}},
               {"properties", TwinPropertiesJson(twin)}};
  if (module_id.empty()) {
    body["tags"] = twin.tags;
  } else {
    body["moduleId"] = module_id;
  }
  HttpResponse response;
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  response.headers.emplace_back("ETag", fmt::format("\"{}\"", twin.Etag()));
  return response;
}

HttpResponse ServiceApi::EditTwin(const HttpRequest& request, const std::string& id) {
  if (request.method != "PATCH" && request.method != "PUT") return ErrorResponse(405, "GET, PATCH or PUT");
  const Match match = MatchOf(request);
  if (match.kind == Match::kEtag && match.etag != state_.twins.Get(id).Etag()) {
    return ErrorResponse(412, "ErrorCode:PreconditionFailed;the twin has another ETag");
  }
  const json body = json::parse(request.body, nullptr, false);
  const auto push = state_.twins.Edit(id, body, request.method == "PUT", state_.clock.WallNow());
  if (!push.ok()) return ErrorResponse(push.status());
  if (!push->is_null()) devices_.PushDesired(id, *push);
  changed_();
  return ShowTwin(id);
}

awaitable<HttpResponse> ServiceApi::InvokeMethod(const HttpRequest& request, const std::string& id) {
  if (request.method != "POST") co_return ErrorResponse(405, "POST only");
  if (!Exists(id)) co_return ErrorResponse(404, fmt::format("ErrorCode:DeviceNotFound;{}", id));
  const auto call = CallFromJson(json::parse(request.body, nullptr, false), id);
  if (!call.ok()) co_return ErrorResponse(call.status());
  const auto result = co_await devices_.methods().Invoke(*call);
  if (!result.ok()) {
    // Too many calls are a throttle here, not a quota.
    co_return absl::IsResourceExhausted(result.status()) ? ErrorResponse(429, std::string(result.status().message()))
                                                         : ErrorResponse(result.status());
  }
  const json payload = json::parse(result->payload.empty() ? "null" : result->payload, nullptr, false);
  if (payload.is_discarded()) co_return ErrorResponse(502, "the client's answer is no JSON");
  HttpResponse response;
  response.body =
      json{{"status", result->status}, {"payload", payload}}.dump(-1, ' ', false, json::error_handler_t::replace);
  co_return response;
}

}  // namespace holdfast::hubsim
