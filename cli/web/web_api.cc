#include "cli/web/web_api.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "cli/web/client_lists.h"
#include "cli/web/host_names.h"
#include "cli/web/page_files.h"
#include "lib/base/log.h"
#include "lib/mqtt/property_bag.h"

namespace holdfast::web {
namespace {

using nlohmann::json;

constexpr std::string_view kBearer = "Bearer ";
constexpr int kRetryAfterSeconds = 10;

HttpResponse Json(const json& value, int status = 200) {
  HttpResponse response;
  response.status = status;
  response.body = value.dump(-1, ' ', false, json::error_handler_t::replace);
  return response;
}

HttpResponse Error(int status, std::string_view message) {
  return Json({{"error", message}}, status);
}

HttpResponse MethodNotAllowed(std::string_view allowed) {
  HttpResponse response = Error(405, "this path is not served with that method");
  response.headers.emplace_back("Allow", std::string(allowed));
  return response;
}

// `after` of "after=dev1%2Fmod1".
std::string After(std::string_view query) {
  constexpr std::string_view kAfter = "after=";
  if (!query.starts_with(kAfter)) return "";
  std::string scratch;
  return std::string(mqtt::PercentDecode(query.substr(kAfter.size()), &scratch));
}

HttpResponse ListAnswer(const absl::StatusOr<json>& list) {
  if (list.ok()) return Json(*list);
  return Error(503, std::string(list.status().message()));
}

HttpResponse FileAnswer(const PageFile& file) {
  HttpResponse response;
  response.body = std::string(file.content);
  response.content_type = std::string(file.content_type);
  return response;
}

}  // namespace

std::string CookieValue(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    const size_t end = std::min(header.find(';'), header.size());
    std::string_view pair = header.substr(0, end);
    header.remove_prefix(std::min(end + 1, header.size()));
    while (pair.starts_with(' ')) pair.remove_prefix(1);
    if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=') {
      return std::string(pair.substr(name.size() + 1));
    }
  }
  return "";
}

WebApi::WebApi(const Options& options, const Clock& clock, Logins* logins, const Feed* feed,
               const cli::Gateway* gateway)
    : options_(options),
      cookie_name_(fmt::format("{}holdfast-{}", options.is_tls ? "__Host-" : "", options.port)),
      clock_(clock),
      logins_(logins),
      feed_(feed),
      gateway_(gateway),
      streams_(std::make_shared<std::atomic<int>>(0)) {}

std::string WebApi::SessionOf(const HttpRequest& request) const {
  std::string session = CookieValue(request.cookie, cookie_name_);
  return logins_->Holds(session, clock_.SinceBoot()) ? session : "";
}

HttpResponse WebApi::Answer(const HttpRequest& request) {
  if (!IsOwnHost(request.host, options_.host_names)) {
    return Error(421, "this is not the name of this gateway; add it with --host-name if it is");
  }
  const std::string session = SessionOf(request);
  if (request.path == "/api/login") return request.method == "POST" ? LogIn(request) : MethodNotAllowed("POST");
  if (request.path == "/api/logout") return request.method == "POST" ? LogOut(session) : MethodNotAllowed("POST");
  if (request.method != "GET") return MethodNotAllowed("GET");
  if (const PageFile* const file = FindPageFile(request.path)) return FileAnswer(*file);
  if (request.path == "/api/session") return Json({{"logged_in", !session.empty()}});
  if (session.empty() && request.path.starts_with("/api/")) return Error(401, "log in first");
  if (request.path == "/api/stream") return Stream(session);
  return Ask(request);
}

HttpResponse WebApi::LogIn(const HttpRequest& request) {
  const std::string_view given = request.authorization;
  if (!given.starts_with(kBearer)) return Error(401, "the token belongs into the header Authorization: Bearer …");
  const auto session = logins_->LogIn(given.substr(kBearer.size()), request.peer, clock_.SinceBoot());
  if (absl::IsResourceExhausted(session.status())) {
    HttpResponse response = Error(429, std::string(session.status().message()));
    response.headers.emplace_back("Retry-After", std::to_string(kRetryAfterSeconds));
    return response;
  }
  if (!session.ok()) {
    spdlog::warn("a wrong token was shown peer={}", request.peer.to_string());
    return Error(401, std::string(session.status().message()));
  }
  HttpResponse response = Json({{"logged_in", true}});
  response.headers.emplace_back(
      "Set-Cookie", fmt::format("{}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{}", cookie_name_, *session,
                                absl::ToInt64Seconds(Logins::kSessionLife), options_.is_tls ? "; Secure" : ""));
  return response;
}

HttpResponse WebApi::LogOut(const std::string& session) {
  logins_->LogOut(session);
  HttpResponse response = Json({{"logged_in", false}});
  response.headers.emplace_back("Set-Cookie", fmt::format("{}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0{}",
                                                          cookie_name_, options_.is_tls ? "; Secure" : ""));
  return response;
}

HttpResponse WebApi::Stream(const std::string& session) {
  // Counts itself from here to the end of the stream, whoever ends it.
  const std::shared_ptr<void> place(nullptr, [streams = streams_](void*) { --*streams; });
  if (++*streams_ > kStreamsMax) return Error(503, "too many pages are open");
  HttpResponse response;
  response.content_type = "text/event-stream";
  response.more = [this, place, session, cursor = uint64_t{0}]() mutable -> std::optional<std::string> {
    if (!logins_->Holds(session, clock_.SinceBoot())) return std::nullopt;
    return feed_->Next(&cursor);
  };
  return response;
}

HttpResponse WebApi::Ask(const HttpRequest& request) {
  if (request.path == "/api/status") return Json(feed_->Snapshot());
  if (request.path == "/api/clients") return ListAnswer(ClientsPage(*gateway_, After(request.query)));
  if (request.path == "/api/twins") return ListAnswer(TwinsPage(*gateway_, After(request.query)));
  return Error(404, "there is no such page");
}

}  // namespace holdfast::web
