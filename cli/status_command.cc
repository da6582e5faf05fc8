// `holdfast status`: one look at the whole gateway. What can't be asked is shown as such; the rest is shown all the
// same.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/context.h"
#include "cli/gateway.h"
#include "cli/output.h"
#include "cli/queue_list.h"
#include "cli/readiness.h"
#include "cli/reports.h"
#include "cli/uplink_status.h"
#include "cli/wire.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "holdfast/router/v1/router.grpc.pb.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "holdfast/uplink/v1/uplink.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

constexpr absl::Duration kHealthTimeout = absl::Seconds(2);

struct ServiceHealth {
  Instance instance;
  HealthReport report;
};

std::vector<ServiceHealth> CheckAll(const Gateway& gateway) {
  std::vector<ServiceHealth> all;
  for (const std::string_view service : kServices) {
    for (Instance& instance : gateway.Instances(service)) {
      HealthReport report = gateway.CheckHealth(instance, kHealthTimeout, WorkingService(service));
      all.push_back({std::move(instance), std::move(report)});
    }
  }
  return all;
}

// All that the services told; what could not be asked stays empty.
struct Snapshot {
  std::vector<ServiceHealth> services;
  absl::StatusOr<uplink::v1::GetUplinkStatusResponse> uplink;
  absl::StatusOr<router::v1::GetRouterStatusResponse> router;
  absl::StatusOr<store::v1::ListQueuesResponse> queues;
  absl::StatusOr<store::v1::GetStoreStatusResponse> store;
  absl::StatusOr<auth::v1::ListIdentitiesResponse> identities;

  bool healthy() const {
    for (const ServiceHealth& s : services) {
      if (s.report.health != Health::kServing) return false;
    }
    return true;
  }
  Readiness Judge() const { return JudgeReadiness(identities, router, store, absl::Now()); }
};

// Of all routers together; what does not add up is the first one's.
absl::StatusOr<router::v1::GetRouterStatusResponse> RoutersStatus(const Gateway& gateway) {
  ASSIGN_OR_RETURN(auto all,
                   (gateway.CallEach<router::v1::Sessions, router::v1::GetRouterStatusResponse>(
                       "router", &router::v1::Sessions::Stub::GetRouterStatus, router::v1::GetRouterStatusRequest())));
  router::v1::GetRouterStatusResponse sum = all.front();
  for (size_t i = 1; i < all.size(); ++i) {
    sum.set_sessions(sum.sessions() + all[i].sessions());
    sum.set_received(sum.received() + all[i].received());
    sum.set_acknowledged(sum.acknowledged() + all[i].acknowledged());
    sum.set_paused(sum.paused() || all[i].paused());
  }
  return sum;
}

Snapshot TakeSnapshot(const Gateway& gateway) {
  Snapshot s;
  s.services = CheckAll(gateway);
  s.uplink = LeadingUplinkStatus(gateway);
  s.router = RoutersStatus(gateway);
  s.queues = ListQueues(gateway, "");
  s.store = gateway.Call<store::v1::StoreStatus, store::v1::GetStoreStatusResponse>(
      "store", &store::v1::StoreStatus::Stub::GetStoreStatus, store::v1::GetStoreStatusRequest());
  s.identities = gateway.Call<auth::v1::Identities, auth::v1::ListIdentitiesResponse>(
      "auth", &auth::v1::Identities::Stub::ListIdentities, auth::v1::ListIdentitiesRequest());
  return s;
}

nlohmann::json ServicesJson(const Snapshot& s) {
  nlohmann::json services = nlohmann::json::array();
  for (const auto& [instance, report] : s.services) {
    services.push_back({{"service", instance.service},
                        {"instance", instance.name},
                        {"socket", instance.socket_path},
                        {"health", HealthName(report.health)},
                        {"pid", report.pid},
                        {"detail", report.detail}});
  }
  return services;
}

nlohmann::json ScopeJson(const uplink::v1::ScopeSync& scope) {
  return {{"last_sync",
           scope.has_last_sync() ? nlohmann::json(HumanTime(ToTime(scope.last_sync()))) : nlohmann::json(nullptr)},
          {"last_error", scope.last_error()},
          {"syncing", scope.syncing()},
          {"identities", scope.identities()}};
}

nlohmann::json TroublesJson(const uplink::v1::GetUplinkStatusResponse& status) {
  nlohmann::json troubles = nlohmann::json::array();
  for (const auto& trouble : status.troubles()) {
    troubles.push_back({{"device_id", trouble.device_id()},
                        {"module_id", trouble.module_id()},
                        {"reason", trouble.reason()},
                        {"since", HumanTime(ToTime(trouble.since()))},
                        {"messages", trouble.messages()},
                        {"holds_line", trouble.holds_line()}});
  }
  return troubles;
}

nlohmann::json ReadinessJson(const Readiness& r) {
  const auto time = [](absl::Time t) {
    const bool known = t != absl::InfinitePast() && t != absl::InfiniteFuture();
    return known ? nlohmann::json(HumanTime(t)) : nlohmann::json(nullptr);
  };
  return {{"ready", r.ready()},
          {"missing", r.missing},
          {"identities_from", r.source},
          {"synced_at", time(r.synced_at)},
          {"certificates_until", time(r.certificates_until)}};
}

nlohmann::json ToJson(const Gateway& gateway, const Snapshot& s) {
  nlohmann::json json = {{"run_dir", gateway.run_dir()}, {"healthy", s.healthy()}, {"services", ServicesJson(s)}};
  json["link"] = nullptr;
  if (s.uplink.ok()) {
    json["link"] = {{"state", LinkStateName(s.uplink->state())},
                    {"leader", s.uplink->leader()},
                    {"since", HumanTime(ToTime(s.uplink->since()))},
                    {"reason", s.uplink->reason()},
                    {"upstream", s.uplink->upstream()},
                    {"address", s.uplink->address()},
                    {"lag_messages", s.uplink->lag_messages()},
                    {"lag_seconds", s.uplink->has_lag() ? absl::ToDoubleSeconds(ToDuration(s.uplink->lag())) : 0.0},
                    {"in_flight", s.uplink->in_flight()},
                    {"delivered", s.uplink->delivered()},
                    {"delivered_per_second", s.uplink->delivered_per_second()},
                    {"connects", s.uplink->connects()},
                    {"stalled", s.uplink->stalled()},
                    {"connections", s.uplink->connections()},
                    {"scope", s.uplink->has_scope() ? ScopeJson(s.uplink->scope()) : nlohmann::json(nullptr)},
                    {"troubles", TroublesJson(*s.uplink)},
                    {"troubles_total", s.uplink->troubles_total()}};
  }
  json["clients"] = nullptr;
  if (s.router.ok()) {
    json["clients"] = {
        {"sessions", s.router->sessions()},
        {"mqtt_port", s.router->mqtt_port()},
        {"mqtts_port", s.router->mqtts_port()},
        {"paused", s.router->paused()},
        {"received", s.router->received()},
        {"acknowledged", s.router->acknowledged()},
        {"certificate_not_after", s.router->has_certificate_not_after()
                                      ? nlohmann::json(HumanTime(ToTime(s.router->certificate_not_after())))
                                      : nlohmann::json(nullptr)}};
  }
  json["identities"] = s.identities.ok() ? nlohmann::json(s.identities->identities_size()) : nlohmann::json(nullptr);
  json["offline"] = ReadinessJson(s.Judge());
  json["store"] = s.store.ok() ? StoreStatusJson(*s.store) : nlohmann::json(nullptr);
  json["queues"] = nullptr;
  if (s.queues.ok()) {
    json["queues"] = nlohmann::json::array();
    for (const auto& queue : s.queues->queues()) json["queues"].push_back(QueueJson(queue));
  }
  return json;
}

void PrintReadiness(const Readiness& r) {
  if (r.ready()) {
    fmt::print("offline   ready: the hub may go away now; identities from {}, {}\n",
               r.source.empty() ? "their source" : r.source, HumanTime(r.synced_at));
    return;
  }
  fmt::print("offline   NOT READY\n");
  for (const std::string& missing : r.missing) fmt::print("          {}\n", missing);
}

void PrintScope(const uplink::v1::ScopeSync& scope) {
  if (scope.has_last_sync()) {
    fmt::print("scope     {} identities, taken from the hub {}", scope.identities(),
               HumanTime(ToTime(scope.last_sync())));
  } else {
    fmt::print("scope     not taken from the hub since uplink started");
  }
  fmt::print("{}{}\n", scope.last_error().empty() ? "" : "; the last attempt failed: ", scope.last_error());
}

void PrintLink(const Snapshot& s) {
  if (!s.uplink.ok()) return fmt::print("link      unknown: uplink can't be asked\n");
  const auto& u = *s.uplink;
  fmt::print("link      {} for {}", LinkStateName(u.state()), HumanDuration(absl::Now() - ToTime(u.since())));
  if (!u.upstream().empty()) fmt::print(", {}", u.upstream());
  if (!u.address().empty()) fmt::print(" ({})", u.address());
  if (!u.reason().empty()) fmt::print(": {}", u.reason());
  fmt::print("\nlag       {} messages", u.lag_messages());
  if (u.has_lag() && u.lag_messages() > 0) fmt::print(", the oldest waits for {}", HumanDuration(ToDuration(u.lag())));
  fmt::print("\ndelivered {} since uplink started, {:.0f}/s now, {} in flight\n", u.delivered(),
             u.delivered_per_second(), u.in_flight());
  if (u.stalled()) fmt::print("          STALLED: connected, but the hub acknowledges nothing\n");
  if (u.has_scope()) PrintScope(u.scope());
  for (const auto& trouble : u.troubles()) {
    fmt::print("trouble   {}{}{}: {}; {} messages wait{}\n", Printable(trouble.device_id()),
               trouble.module_id().empty() ? "" : "/", Printable(trouble.module_id()), trouble.reason(),
               trouble.messages(), trouble.holds_line() ? ", and everybody behind them" : "");
  }
}

void PrintClients(const Snapshot& s) {
  if (!s.router.ok()) return fmt::print("clients   unknown: router can't be asked\n");
  const auto& r = *s.router;
  fmt::print("clients   {} connected{}; {} messages received, {} acknowledged{}\n", r.sessions(),
             s.identities.ok() ? fmt::format(" of {} identities", s.identities->identities_size()) : "", r.received(),
             r.acknowledged(), r.paused() ? "; PAUSED, the store has no room" : "");
}

void PrintStore(const Snapshot& s) {
  if (!s.store.ok() || !s.queues.ok()) return fmt::print("store     unknown: store can't be asked\n");
  uint64_t records = 0;
  for (const auto& queue : s.queues->queues()) records += queue.records();
  fmt::print("store     {} of {} used, {} records in {} queues, {} free on the disk{}{}\n",
             HumanBytes(s.store->bytes()), HumanBytes(s.store->bytes_max()), records, s.queues->queues_size(),
             HumanBytes(s.store->disk_free_bytes()), s.store->reason().empty() ? "" : ": ", s.store->reason());
  if (s.store->encryption_key_id().empty()) return;
  fmt::print("          encrypted with key {}", s.store->encryption_key_id());
  for (const std::string& id : s.store->older_encryption_key_ids()) fmt::print(", some still with {}", id);
  fmt::print("{}\n", s.store->holds_plaintext() ? ", some not encrypted yet" : "");
}

void PrintPeople(const Gateway& gateway, const Snapshot& s) {
  Table table({"SERVICE", "INSTANCE", "HEALTH", "PID"});
  for (const auto& [instance, report] : s.services) {
    table.Add({instance.service, instance.name, std::string(HealthName(report.health)),
               report.pid > 0 ? fmt::to_string(report.pid) : "-"});
  }
  fmt::print("{}\n", table.Text());
  PrintLink(s);
  PrintClients(s);
  PrintStore(s);
  PrintReadiness(s.Judge());
  std::fflush(stdout);
  for (const auto& [instance, report] : s.services) {
    if (!report.detail.empty()) fmt::print(stderr, "holdfast: {}\n", report.detail);
  }
}

int RunStatus(const Context& context) {
  const auto options = ResolveOptions(context);
  if (!options.ok()) return Fail(context, options.status());
  const Gateway gateway(options->run_dir);
  const Snapshot snapshot = TakeSnapshot(gateway);
  if (context.json) {
    PrintJson(ToJson(gateway, snapshot));
  } else {
    PrintPeople(gateway, snapshot);
  }
  return snapshot.healthy() ? kExitOk : kExitFailed;
}

}  // namespace

nlohmann::json StatusReport(const Gateway& gateway) {
  return ToJson(gateway, TakeSnapshot(gateway));
}

void AddStatusCommand(CLI::App* app, Context* context) {
  CLI::App* status = app->add_subcommand(
      "status", "Health of each service, the link to the hub, lag, clients, storage, readiness for an outage");
  status->footer(
      "Exit code 0 if every service is healthy. A hub that is away is not a fault.\n\nExamples:\n"
      "  holdfast status\n  holdfast --run-dir ./gw/run status\n  holdfast --json status | jq .link.state\n"
      "  holdfast --json status | jq -e .offline.ready");
  status->callback([context] { context->run = [context] { return RunStatus(*context); }; });
}

}  // namespace holdfast::cli
