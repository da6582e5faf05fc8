#include "cli/web/client_lists.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "cli/wire.h"
#include "holdfast/router/v1/router.grpc.pb.h"
#include "lib/base/status.h"

namespace holdfast::web {
namespace {

using nlohmann::json;

json Time(bool present, const google::protobuf::Timestamp& time) {
  return present ? json(absl::ToUnixMillis(cli::ToTime(time))) : json(nullptr);
}

json ClientJson(const router::v1::Session& session) {
  return {{"client_id", session.client_id()},
          {"peer", session.peer()},
          {"connected_at", Time(session.has_connected_at(), session.connected_at())},
          {"received", session.received()},
          {"acknowledged", session.acknowledged()},
          {"subscriptions", session.subscriptions_size()},
          {"tls", session.tls()},
          {"by_gateway", session.by_gateway()}};
}

uint64_t VersionOf(const json& document, const char* section) {
  const auto at = document.find(section);
  return at != document.end() && at->is_object() ? at->value("$version", uint64_t{0}) : 0;
}

json TwinJson(const router::v1::Twin& twin) {
  const json document = json::parse(twin.document(), nullptr, /*allow_exceptions=*/false);
  return {{"client_id", twin.client_id()},
          {"bytes", twin.document().size()},
          {"desired_version", document.is_object() ? VersionOf(document, "desired") : 0},
          {"reported_version", document.is_object() ? VersionOf(document, "reported") : 0},
          {"set_here", !twin.local_desired().empty()},
          {"to_tell_bytes", twin.pending_reported().size()},
          {"refused", twin.refused_total()},
          {"synced_at", Time(twin.has_synced_at(), twin.synced_at())}};
}

}  // namespace

absl::StatusOr<json> ClientsPage(const cli::Gateway& gateway, const std::string& after) {
  router::v1::ListSessionsRequest request;
  request.set_page_size(kListPage);
  request.set_after_client_id(after);
  ASSIGN_OR_RETURN(const auto pages, (gateway.CallEach<router::v1::Sessions, router::v1::ListSessionsResponse>(
                                         "router", &router::v1::Sessions::Stub::ListSessions, request)));
  // Each router has given the first ones of its own: the first ones of all are among them.
  std::vector<const router::v1::Session*> sessions;
  bool more = false;
  for (const auto& page : pages) {
    more = more || page.more();
    for (const router::v1::Session& session : page.sessions()) sessions.push_back(&session);
  }
  std::sort(sessions.begin(), sessions.end(),
            [](const auto* a, const auto* b) { return a->client_id() < b->client_id(); });
  more = more || sessions.size() > kListPage;
  sessions.resize(std::min<size_t>(sessions.size(), kListPage));
  json list = json::array();
  for (const router::v1::Session* session : sessions) list.push_back(ClientJson(*session));
  return json{{"clients", std::move(list)}, {"more", more}};
}

absl::StatusOr<json> TwinsPage(const cli::Gateway& gateway, const std::string& after) {
  router::v1::ListTwinsRequest request;
  request.set_page_size(kListPage);
  request.set_after_client_id(after);
  ASSIGN_OR_RETURN(const auto page, (gateway.Call<router::v1::Twins, router::v1::ListTwinsResponse>(
                                        "router", &router::v1::Twins::Stub::ListTwins, request)));
  json list = json::array();
  for (const router::v1::Twin& twin : page.twins()) list.push_back(TwinJson(twin));
  return json{{"twins", std::move(list)}, {"more", page.more()}};
}

}  // namespace holdfast::web
