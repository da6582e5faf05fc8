#include "tests/hubsim/service_api.h"

#include <fmt/format.h>

#include "absl/strings/numbers.h"
#include "lib/base/status.h"
#include "tests/hubsim/http_status.h"
#include "tests/hubsim/registry_json.h"

namespace holdfast::hubsim {
namespace {

using boost::asio::awaitable;
using nlohmann::json;

constexpr size_t kListMax = 1000;
constexpr size_t kBulkMax = 100;

// A DELETE without If-Match takes what is there.
Match DeleteMatch(const Match& match) {
  return match.kind == Match::kCreate ? Match{.kind = Match::kAny} : match;
}

HttpResponse Json(const json& body) {
  HttpResponse response;
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return response;
}

HttpResponse WithEtag(HttpResponse response, const std::string& etag) {
  response.headers.emplace_back("ETag", fmt::format("\"{}\"", etag));
  return response;
}

HttpResponse NoContent() {
  HttpResponse response;
  response.status = 204;
  return response;
}

HttpResponse BadMethod() {
  return ErrorResponse(405, "no such method on this resource");
}

absl::StatusOr<json> Body(const HttpRequest& request) {
  json body = json::parse(request.body, nullptr, false);
  if (body.is_discarded()) return absl::InvalidArgumentError("the body is no JSON");
  return body;
}

}  // namespace

Match ServiceApi::MatchOf(const HttpRequest& request) {
  std::string_view text = request.if_match;
  if (text.empty()) return {.kind = request.Query("upsert") == "true" ? Match::kUpsert : Match::kCreate};
  if (text.size() >= 2 && text.starts_with('"') && text.ends_with('"')) text = text.substr(1, text.size() - 2);
  if (text == "*") return {.kind = Match::kAny};
  return {.kind = Match::kEtag, .etag = std::string(text)};
}

bool ServiceApi::Serves(const HttpRequest& request) {
  return !request.parts.empty() && (request.parts[0] == "devices" || request.parts[0] == "twins");
}

awaitable<HttpResponse> ServiceApi::Answer(const HttpRequest& request) {
  const auto& parts = request.parts;
  if (parts[0] == "devices") {
    if (parts.size() == 1) co_return AnswerDevices(request);
    if (parts.size() == 2) co_return AnswerDevice(request);
    if (parts.size() == 3 && parts[2] == "modules") co_return AnswerModules(request);
    if (parts.size() == 4 && parts[2] == "modules") co_return AnswerModule(request);
  }
  if (parts[0] == "twins" && parts.size() > 1) co_return co_await AnswerTwins(request);
  co_return ErrorResponse(404, "no such resource");
}

void ServiceApi::Changed(std::string_view device_id) {
  devices_.OnRegistryChanged(device_id);
  changed_();
}

json ServiceApi::DeviceView(const Device& device) const {
  const Inbox* inbox = devices_.FindInbox(device.device_id);
  return DeviceJson(device, state_.registry,
                    {.connected = devices_.IsConnected(device.device_id),
                     .cloud_to_device_messages = inbox == nullptr ? 0 : inbox->size()});
}

json ServiceApi::ModuleView(const Module& module) const {
  return ModuleJson(module, {.connected = devices_.IsConnected(module.device_id + "/" + module.module_id)});
}

HttpResponse ServiceApi::Show(const Device& device) const {
  return WithEtag(Json(DeviceView(device)), device.etag);
}

HttpResponse ServiceApi::Show(const Module& module) const {
  return WithEtag(Json(ModuleView(module)), module.etag);
}

HttpResponse ServiceApi::AnswerDevices(const HttpRequest& request) {
  if (request.method == "POST") return Bulk(request);
  if (request.method != "GET") return BadMethod();
  size_t top = kListMax;
  if (const std::string text = request.Query("top"); !text.empty() && !absl::SimpleAtoi(text, &top)) {
    return ErrorResponse(400, "top must be a number");
  }
  json list = json::array();
  for (const auto& [id, device] : state_.registry.devices()) {
    if (list.size() >= std::min(top, kListMax)) break;
    list.push_back(DeviceView(device));
  }
  return Json(list);
}

HttpResponse ServiceApi::AnswerDevice(const HttpRequest& request) {
  const std::string& id = request.parts[1];
  if (request.method == "GET") {
    const Device* device = state_.registry.FindDevice(id);
    return device == nullptr ? ErrorResponse(404, fmt::format("ErrorCode:DeviceNotFound;{}", id)) : Show(*device);
  }
  if (request.method == "DELETE") {
    if (const absl::Status status = state_.registry.RemoveDevice(id, DeleteMatch(MatchOf(request))); !status.ok()) {
      return ErrorResponse(status);
    }
    Changed(id);
    return NoContent();
  }
  if (request.method != "PUT") return BadMethod();
  const auto body = Body(request);
  if (!body.ok()) return ErrorResponse(body.status());
  const auto edit = EditFromJson(*body, state_.registry.FindDevice(id));
  if (!edit.ok()) return ErrorResponse(edit.status());
  const auto device = state_.registry.PutDevice(id, *edit, MatchOf(request), state_.clock.WallNow());
  if (!device.ok()) return ErrorResponse(device.status());
  HttpResponse response = Show(**device);
  Changed(id);
  return response;
}

HttpResponse ServiceApi::AnswerModules(const HttpRequest& request) {
  if (request.method != "GET") return BadMethod();
  const Device* device = state_.registry.FindDevice(request.parts[1]);
  if (device == nullptr) return ErrorResponse(404, fmt::format("ErrorCode:DeviceNotFound;{}", request.parts[1]));
  json list = json::array();
  for (const auto& [id, module] : device->modules) list.push_back(ModuleView(module));
  return Json(list);
}

HttpResponse ServiceApi::AnswerModule(const HttpRequest& request) {
  const std::string& device_id = request.parts[1];
  const std::string& id = request.parts[3];
  if (request.method == "GET") {
    const Module* module = state_.registry.FindModule(device_id, id);
    return module == nullptr ? ErrorResponse(404, fmt::format("ErrorCode:ModuleNotFound;{}/{}", device_id, id))
                             : Show(*module);
  }
  if (request.method == "DELETE") {
    if (const absl::Status status = state_.registry.RemoveModule(device_id, id, DeleteMatch(MatchOf(request)));
        !status.ok()) {
      return ErrorResponse(status);
    }
    Changed(device_id);
    return NoContent();
  }
  if (request.method != "PUT") return BadMethod();
  const auto body = Body(request);
  if (!body.ok()) return ErrorResponse(body.status());
  const auto edit = EditFromJson(*body, nullptr);
  if (!edit.ok()) return ErrorResponse(edit.status());
  const auto module = state_.registry.PutModule(device_id, id, *edit, MatchOf(request), state_.clock.WallNow());
  if (!module.ok()) return ErrorResponse(module.status());
  HttpResponse response = Show(**module);
  Changed(device_id);
  return response;
}

absl::Status ServiceApi::BulkOne(const json& entry) {
  if (!entry.is_object() || !entry.contains("id") || !entry["id"].is_string()) {
    return absl::InvalidArgumentError("an entry has no id");
  }
  const std::string id = entry["id"];
  const auto text = [&entry](const char* key) {
    const auto at = entry.find(key);
    return at != entry.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  const std::string mode = text("importMode");
  std::string etag = text("eTag").empty() ? text("etag") : text("eTag");
  const Match by_etag{.kind = Match::kEtag, .etag = etag};
  Match match{.kind = Match::kAny};
  if (mode == "create" || mode == "Create") match.kind = Match::kCreate;
  if (mode == "UpdateIfMatchETag" || mode == "DeleteIfMatchETag" || mode == "updateIfMatchETag" ||
      mode == "deleteIfMatchETag") {
    match = by_etag;
  }
  if (mode.starts_with("delete") || mode.starts_with("Delete")) {
    RETURN_IF_ERROR(state_.registry.RemoveDevice(id, match));
  } else {
    ASSIGN_OR_RETURN(const IdentityEdit edit, EditFromJson(entry, state_.registry.FindDevice(id)));
    const auto put = state_.registry.PutDevice(id, edit, match, state_.clock.WallNow());
    if (!put.ok()) return put.status();
  }
  devices_.OnRegistryChanged(id);
  return absl::OkStatus();
}

HttpResponse ServiceApi::Bulk(const HttpRequest& request) {
  const auto body = Body(request);
  if (!body.ok()) return ErrorResponse(body.status());
  if (!body->is_array() || body->empty() || body->size() > kBulkMax) {
    return ErrorResponse(400, fmt::format("the body must be an array of 1 to {} devices", kBulkMax));
  }
  json errors = json::array();
  for (const json& entry : *body) {
    const absl::Status status = BulkOne(entry);
    if (status.ok()) continue;
    errors.push_back({{"deviceId", entry.is_object() && entry.contains("id") ? entry["id"] : json()},
                      {"errorCode", HttpStatus(status)},
                      {"errorStatus", std::string(status.message())}});
  }
  changed_();
  HttpResponse response = Json({{"isSuccessful", errors.empty()}, {"errors", errors}, {"warnings", json::array()}});
  if (!errors.empty()) response.status = 400;
  return response;
}

}  // namespace holdfast::hubsim
