// `holdfast sessions [list|close]`: who is connected.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/output.h"
#include "cli/reports.h"
#include "cli/wire.h"
#include "holdfast/router/v1/router.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

constexpr uint32_t kPageSize = 1000;

absl::StatusOr<std::vector<router::v1::Session>> ListAll(const Gateway& gateway) {
  std::vector<router::v1::Session> sessions;
  router::v1::ListSessionsRequest request;
  request.set_page_size(kPageSize);
  while (true) {
    ASSIGN_OR_RETURN(const auto response, (gateway.Call<router::v1::Sessions, router::v1::ListSessionsResponse>(
                                              "router", &router::v1::Sessions::Stub::ListSessions, request)));
    sessions.insert(sessions.end(), response.sessions().begin(), response.sessions().end());
    if (!response.more() || response.sessions().empty()) return sessions;
    request.set_after_client_id(sessions.back().client_id());
  }
}

nlohmann::json SessionsJson(const std::vector<router::v1::Session>& sessions) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& s : sessions) {
    list.push_back({{"client_id", s.client_id()},
                    {"peer", s.peer()},
                    {"connected_at", HumanTime(ToTime(s.connected_at()))},
                    {"received", s.received()},
                    {"acknowledged", s.acknowledged()},
                    {"keep_alive_seconds", s.keep_alive_seconds()},
                    {"clean_session", s.clean_session()},
                    {"subscriptions", s.subscriptions()},
                    {"tls", s.tls()}});
  }
  return {{"sessions", std::move(list)}};
}

int RunList(const Context& context) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const auto sessions = ListAll(Gateway(options->run_dir));
  if (!sessions.ok()) return Fail(context, sessions.status());
  if (context.json) {
    PrintJson(SessionsJson(*sessions));
    return kExitOk;
  }
  Table table({"CLIENT", "PEER", "TLS", "CONNECTED FOR", "RECEIVED", "ACKNOWLEDGED"});
  for (const auto& s : *sessions) {
    table.Add({Printable(s.client_id()), s.peer(), s.tls() ? "yes" : "no",
               HumanDuration(absl::Now() - ToTime(s.connected_at())), fmt::to_string(s.received()),
               fmt::to_string(s.acknowledged())});
  }
  fmt::print("{}", table.empty() ? "No client is connected.\n" : table.Text());
  return kExitOk;
}

int RunClose(const Context& context, const std::string& client_id) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  router::v1::CloseSessionRequest request;
  request.set_client_id(client_id);
  const auto response = Gateway(options->run_dir)
                            .Call<router::v1::Sessions, router::v1::CloseSessionResponse>(
                                "router", &router::v1::Sessions::Stub::CloseSession, request);
  if (!response.ok()) return Fail(context, response.status());
  if (context.json) {
    PrintJson({{"closed", client_id}});
  } else {
    fmt::print("{} closed; it may come back at once\n", Printable(client_id));
  }
  return kExitOk;
}

}  // namespace

absl::StatusOr<nlohmann::json> SessionsReport(const Gateway& gateway) {
  ASSIGN_OR_RETURN(const auto sessions, ListAll(gateway));
  return SessionsJson(sessions);
}

void AddSessionsCommand(CLI::App* app, Context* context) {
  CLI::App* sessions = app->add_subcommand("sessions", "The clients that are connected now");
  sessions->footer("Examples:\n  holdfast sessions\n  holdfast sessions close dev1");
  sessions->require_subcommand(0, 1);
  sessions->callback([context, sessions] {
    if (sessions->get_subcommands().empty()) context->run = [context] { return RunList(*context); };
  });
  CLI::App* list = sessions->add_subcommand("list", "All clients (what `sessions` alone does)");
  list->callback([context] { context->run = [context] { return RunList(*context); }; });
  auto client_id = std::make_shared<std::string>();
  CLI::App* close = sessions->add_subcommand("close", "Closes a client's connection");
  close->add_option("client", *client_id, "Client id: device or device/module")->required();
  close->callback(
      [context, client_id] { context->run = [context, client_id] { return RunClose(*context, *client_id); }; });
}

}  // namespace holdfast::cli
