#include "cli/gateway_snapshot.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "cli/output.h"
#include "cli/queue_list.h"
#include "cli/uplink_status.h"
#include "cli/wire.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "holdfast/router/v1/router.grpc.pb.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

constexpr absl::Duration kHealthTimeout = absl::Seconds(2);

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

nlohmann::json ServicesJson(const GatewaySnapshot& s) {
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

std::string ReadinessText(const Readiness& r) {
  if (r.ready()) {
    return fmt::format("offline   ready: the hub may go away now; identities from {}, {}\n",
                       r.source.empty() ? "their source" : r.source, HumanTime(r.synced_at));
  }
  std::string text = "offline   NOT READY\n";
  for (const std::string& missing : r.missing) text += fmt::format("          {}\n", missing);
  return text;
}

std::string ClientsText(const GatewaySnapshot& s) {
  if (!s.router.ok()) return "clients   unknown: router can't be asked\n";
  const auto& r = *s.router;
  return fmt::format("clients   {} connected{}; {} messages received, {} acknowledged{}\n", r.sessions(),
                     s.identities.ok() ? fmt::format(" of {} identities", s.identities->identities_size()) : "",
                     r.received(), r.acknowledged(), r.paused() ? "; PAUSED, the store has no room" : "");
}

std::string StoreText(const GatewaySnapshot& s) {
  if (!s.store.ok() || !s.queues.ok()) return "store     unknown: store can't be asked\n";
  uint64_t records = 0;
  for (const auto& queue : s.queues->queues()) records += queue.records();
  std::string text =
      fmt::format("store     {} of {} used, {} records in {} queues, {} free on the disk{}{}\n",
                  HumanBytes(s.store->bytes()), HumanBytes(s.store->bytes_max()), records, s.queues->queues_size(),
                  HumanBytes(s.store->disk_free_bytes()), s.store->reason().empty() ? "" : ": ", s.store->reason());
  if (s.store->encryption_key_id().empty()) return text;
  text += "          encrypted with key " + s.store->encryption_key_id();
  for (const std::string& id : s.store->older_encryption_key_ids()) text += ", some still with " + id;
  return text + (s.store->holds_plaintext() ? ", some not encrypted yet\n" : "\n");
}

}  // namespace

bool GatewaySnapshot::healthy() const {
  for (const ServiceHealth& s : services) {
    if (s.report.health != Health::kServing) return false;
  }
  return true;
}

Readiness GatewaySnapshot::Judge() const {
  return JudgeReadiness(identities, router, store, absl::Now());
}

GatewaySnapshot TakeSnapshot(const Gateway& gateway) {
  GatewaySnapshot s;
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

nlohmann::json SnapshotJson(const Gateway& gateway, const GatewaySnapshot& s) {
  nlohmann::json json = {{"run_dir", gateway.run_dir()}, {"healthy", s.healthy()}, {"services", ServicesJson(s)}};
  json["link"] = s.uplink.ok() ? LinkJson(*s.uplink) : nlohmann::json(nullptr);
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

std::string SnapshotText(const GatewaySnapshot& s) {
  Table table({"SERVICE", "INSTANCE", "HEALTH", "PID"});
  for (const auto& [instance, report] : s.services) {
    table.Add({instance.service, instance.name, std::string(HealthName(report.health)),
               report.pid > 0 ? fmt::to_string(report.pid) : "-"});
  }
  return table.Text() + "\n" + (s.uplink.ok() ? LinkText(*s.uplink) : "link      unknown: uplink can't be asked\n") +
         ClientsText(s) + StoreText(s) + ReadinessText(s.Judge());
}

}  // namespace holdfast::cli
