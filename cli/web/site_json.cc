#include "cli/web/site_json.h"

#include <utility>

#include "cli/web/site_readiness.h"
#include "cli/wire.h"
#include "lib/pki/certificate.h"

namespace holdfast::web {
namespace {

using nlohmann::json;

constexpr size_t kAuthoritiesShown = 10;

json TimeOrNull(bool present, const google::protobuf::Timestamp& time) {
  return present ? json(absl::ToUnixMillis(cli::ToTime(time))) : json(nullptr);
}

json TimeOrNull(absl::Time time) {
  const bool known = time != absl::InfinitePast() && time != absl::InfiniteFuture();
  return known ? json(absl::ToUnixMillis(time)) : json(nullptr);
}

json Troubles(const uplink::v1::GetUplinkStatusResponse& status) {
  json troubles = json::array();
  for (const auto& trouble : status.troubles()) {
    troubles.push_back({{"device_id", trouble.device_id()},
                        {"module_id", trouble.module_id()},
                        {"reason", trouble.reason()},
                        {"since", TimeOrNull(trouble.has_since(), trouble.since())},
                        {"messages", trouble.messages()},
                        {"holds_line", trouble.holds_line()}});
  }
  return troubles;
}

json Scope(const uplink::v1::ScopeSync& scope) {
  return {{"last_sync", TimeOrNull(scope.has_last_sync(), scope.last_sync())},
          {"last_error", scope.last_error()},
          {"syncing", scope.syncing()},
          {"identities", scope.identities()}};
}

json Link(const SiteState& state) {
  const auto* const status = state.Uplink();
  if (status == nullptr) return nullptr;
  json link = {{"state", cli::LinkStateName(status->state())},
               {"since", TimeOrNull(status->has_since(), status->since())},
               {"reason", status->reason()},
               {"upstream", status->upstream()},
               {"address", status->address()},
               {"next_attempt", TimeOrNull(status->has_next_attempt(), status->next_attempt())},
               {"stalled", status->stalled()},
               {"leads", status->leads()},
               {"leader", status->leader()},
               {"connections", status->connections()},
               {"connects", status->connects()},
               {"in_flight", status->in_flight()},
               {"delivered", status->delivered()},
               {"twins_pending", status->twins_pending()},
               {"troubles", Troubles(*status)},
               {"troubles_total", status->troubles_total()}};
  link["oldest_s"] = status->has_lag() ? json(absl::ToInt64Seconds(cli::ToDuration(status->lag()))) : json(nullptr);
  link["scope"] = status->has_scope() ? Scope(status->scope()) : json(nullptr);
  return link;
}

json Clients(const SiteState& state) {
  const auto router = state.Router();
  if (!router.has_value()) return nullptr;
  json clients = {{"sessions", router->sessions()},         {"received", router->received()},
                  {"acknowledged", router->acknowledged()}, {"paused", router->paused()},
                  {"mqtts_port", router->mqtts_port()},     {"mqtt_port", router->mqtt_port()},
                  {"https_port", router->https_port()}};
  clients["identities"] = state.identities.has_value() ? json(state.identities->known) : json(nullptr);
  clients["disabled"] = state.identities.has_value() ? json(state.identities->disabled) : json(nullptr);
  return clients;
}

json Services(const SiteState& state) {
  json services = json::array();
  for (const InstanceState& instance : state.instances) {
    services.push_back({{"service", instance.service},
                        {"instance", instance.name},
                        {"health", cli::HealthName(instance.health)},
                        {"pid", instance.pid},
                        {"detail", instance.detail}});
  }
  return services;
}

json Routes(const SiteState& state) {
  const auto router = state.Router();
  if (!router.has_value()) return nullptr;
  const router::v1::Settings& settings = router->settings();
  json list = json::array();
  for (const router::v1::Route& route : settings.routes()) {
    list.push_back({{"name", route.name()},
                    {"text", route.text()},
                    {"priority", route.priority()},
                    {"ttl_s", route.ttl_seconds()},
                    {"matched", route.matched()},
                    {"undefined", route.undefined()}});
  }
  return {{"source", settings.source()},
          {"error", settings.error()},
          {"ttl_s", settings.ttl_seconds()},
          {"unmatched", settings.unmatched()},
          {"routes", std::move(list)}};
}

void AddCertificate(std::string what, std::string source, json until, json* list) {
  list->push_back({{"what", std::move(what)}, {"from", std::move(source)}, {"until", std::move(until)}});
}

json Certificates(const SiteState& state, const HeadFacts& facts) {
  json list = json::array();
  if (const auto router = state.Router(); router.has_value() && router->has_certificate_not_after()) {
    AddCertificate("server certificate for clients", "router", TimeOrNull(true, router->certificate_not_after()),
                   &list);
  }
  if (state.identities.has_value()) {
    const auth::v1::OfflineReadiness& readiness = state.identities->response.readiness();
    if (readiness.has_device_ca_not_after()) {
      AddCertificate("device CA", "auth", TimeOrNull(true, readiness.device_ca_not_after()), &list);
    }
    const auto authorities = pki::Certificate::ChainFromPem(state.identities->trust_bundle_pem);
    for (size_t i = 0; authorities.ok() && i < std::min(authorities->size(), kAuthoritiesShown); ++i) {
      const pki::CertificateSummary summary = (*authorities)[i].Summary();
      AddCertificate("trusted by clients: " + summary.subject, "auth", TimeOrNull(summary.not_after), &list);
    }
  }
  if (facts.certificate_until != absl::InfiniteFuture()) {
    AddCertificate("this page's", "file", TimeOrNull(facts.certificate_until), &list);
  }
  return list;
}

json ReadinessJson(const SiteState& state) {
  const cli::Readiness readiness = JudgeReadiness(state);
  return {{"ready", readiness.ready()},
          {"missing", readiness.missing},
          {"source", readiness.source},
          {"synced_at", TimeOrNull(readiness.synced_at)},
          {"certificates_until", TimeOrNull(readiness.certificates_until)}};
}

}  // namespace

std::map<std::string, json> Sections(const SiteState& state, const HeadFacts& facts) {
  std::map<std::string, json> sections;
  sections["link"] = Link(state);
  sections["clients"] = Clients(state);
  sections["services"] = Services(state);
  sections["store"] = nullptr;
  if (state.store.has_value()) {
    // What changes by itself each second is left out.
    const json all = cli::StoreStatusJson(*state.store);
    for (const char* name : {"state", "reason", "filesystem", "storage_is_volatile", "bytes", "bytes_max",
                             "disk_free_bytes", "damaged_files", "corrupt_records", "encryption_key_id"}) {
      sections["store"][name] = all[name];
    }
    sections["store"]["dead_records"] = state.dead.has_value() ? state.dead->records() : 0;
  }
  sections["routes"] = Routes(state);
  sections["certificates"] = Certificates(state, facts);
  sections["readiness"] = ReadinessJson(state);
  return sections;
}

}  // namespace holdfast::web
