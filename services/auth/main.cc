// holdfast-auth: decides who a client is. See README.md.
#include <memory>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/base/status.h"
#include "lib/config/config.h"
#include "lib/pki/recipient.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/server.h"
#include "lib/service/service_main.h"
#include "lib/service/supervisor_notice.h"
#include "services/auth/auth_options.h"
#include "services/auth/auth_service.h"
#include "services/auth/child_scopes_service.h"
#include "services/auth/identity_sync.h"
#include "services/auth/key_ring.h"
#include "services/auth/workload_api.h"
#include "services/auth/workload_secret.h"
#include "services/auth/workload_server.h"

namespace holdfast::auth {
namespace {

// A key that is there must be good; one that is not there yet is made later, when the store has said that it is new
// too.
absl::Status CheckSealingKey(const KeyLocation& where) {
  const absl::Status status = KeyRing(where).Read().status();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

// A CA that is out of its dates can heal (the clock may be wrong), and clients without TLS don't need it; a file that
// can't be used can't heal.
absl::Status CheckAuthority(const CertificateIssuer& issuer, Metrics& metrics) {
  const absl::Status status = issuer.CheckFiles();
  if (absl::IsNotFound(status)) {
    spdlog::warn("there is no device CA, so no TLS; run `holdfast certs init`");
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(status);
  ASSIGN_OR_RETURN(const absl::Time not_after, issuer.CaNotAfter());
  metrics
      .Gauge("holdfast_auth_certificate_expiry_timestamp_seconds", "End of a certificate, seconds since 1970",
             {{"certificate", "device_ca"}})
      .Set(static_cast<double>(absl::ToUnixSeconds(not_after)));
  if (const absl::Status dates = issuer.CheckDates(); !dates.ok()) {
    spdlog::error("no server certificate can be issued error={}", Text(dates));
  }
  return absl::OkStatus();
}

// Whose modules ask the workload API; "" while it is not known.
std::string OwnDevice(const AuthOptions& options, const HubIdentity& hub) {
  if (!options.workload_device_id.empty()) return options.workload_device_id;
  const auto credential = hub.Get();
  return credential == nullptr ? "" : credential->device_id;
}

}  // namespace

absl::Status Run(const ServiceFlags& flags, StopSignal& stop_signal) {
  ASSIGN_OR_RETURN(const auto file, ConfigFile::Load(flags.config));
  ASSIGN_OR_RETURN(const GatewayOptions gateway, ReadGatewayOptions(*file));
  ASSIGN_OR_RETURN(const AuthOptions options, ReadAuthOptions(*file, gateway));
  RETURN_IF_ERROR(InitLog("auth", flags.log_level.empty() ? gateway.log_level : flags.log_level));
  RETURN_IF_ERROR(CheckSealingKey(options.sealing_keys));
  ASSIGN_OR_RETURN(const std::unique_ptr<Metrics> metrics, Metrics::Create(options.metrics_address));

  const Clock& clock = *Clock::System();
  TrustedClock trusted_clock(clock);
  IdentityCache cache;
  HubIdentity hub;
  const bool is_hub_given = gateway.is_hub_hostname_given;
  const ClientCertificates client_certificates({.trust_bundle_file = options.trust_bundle_file,
                                                .client_ca_file = options.client_ca_file,
                                                .own_ca_file = options.device_ca_cert_file});
  const Authenticator authenticator(gateway.hub_hostname, gateway.hostname, &client_certificates,
                                    is_hub_given ? nullptr : &hub);
  std::vector<std::string> names{gateway.hostname};
  names.insert(names.end(), gateway.alternative_names.begin(), gateway.alternative_names.end());
  const CertificateIssuer issuer({.ca_certificate_file = options.device_ca_cert_file,
                                  .ca_key_file = options.device_ca_key_file,
                                  .trust_bundle_file = options.trust_bundle_file,
                                  .names = std::move(names)},
                                 trusted_clock);
  RETURN_IF_ERROR(CheckAuthority(issuer, *metrics));

  const OfflineReadiness readiness(
      {.identities_file = options.identities_file, .hub_connection_string_file = options.hub_connection_string_file},
      cache, hub, issuer, client_certificates, *metrics);
  rpc::Channels store(gateway.run_dir, "store");
  IdentityRepository repository(store);
  absl::Status fatal;             // written before the stop signal, read after it
  rpc::Server* health = nullptr;  // set before sync starts
  WorkloadSecret workload_secret;
  IdentitySync sync(
      {.identities_file = options.identities_file,
       .hub_connection_string_file = options.hub_connection_string_file,
       .hub_hostname = is_hub_given ? gateway.hub_hostname : "",
       .sealing_keys = options.sealing_keys},
      repository, cache, hub, trusted_clock, clock, *metrics,
      {.on_serving = [&health](bool serving) { health->SetServing(serving); },
       .on_fatal =
           [&fatal](const absl::Status& status) {
             fatal = status;
             StopSignal::Stop();
           },
       .on_workload_secret = [&workload_secret](std::string secret) { workload_secret.Set(std::move(secret)); },
       .on_tick = [&readiness] { readiness.Judge(); }});
  ASSIGN_OR_RETURN(const pki::Recipient recipient,
                   pki::Recipient::Create("holdfast auth sync recipient", clock.WallNow()));
  WantedIdentities wanted(options.on_demand, clock, *metrics);
  FailureLimits limits(options.failures);
  AuthenticationService authentication(authenticator, cache, hub, wanted, limits, trusted_clock, clock, *metrics);
  IdentitiesService identities(cache, sync, hub, recipient, wanted, readiness, [&] { return OwnDevice(options, hub); });
  ChildScopesService child_scopes({.authenticator = authenticator,
                                   .cache = cache,
                                   .hub = hub,
                                   .wanted = wanted,
                                   .limits = limits,
                                   .trusted_clock = trusted_clock,
                                   .clock = clock,
                                   .metrics = *metrics});
  TokensService tokens(cache, hub, trusted_clock);
  CertificatesService certificates(issuer, *metrics);
  KeysService keys(sync);
  ASSIGN_OR_RETURN(const std::unique_ptr<rpc::Server> server,
                   rpc::Server::Create({.run_dir = gateway.run_dir, .service = "auth", .instance = flags.instance},
                                       {&authentication, &identities, &child_scopes, &tokens, &certificates, &keys}));
  health = server.get();
  const WorkloadApi workload([&] { return OwnDevice(options, hub); }, cache, issuer, workload_secret, clock);
  ASSIGN_OR_RETURN(
      const std::unique_ptr<WorkloadServer> workload_server,
      WorkloadServer::Create({.run_dir = gateway.run_dir, .modules = options.workload_modules}, workload, *metrics));
  sync.Start();
  spdlog::info("auth is listening socket={} identities_file={} hub_connection_string_file={}", server->socket_path(),
               options.identities_file.empty() ? "none" : options.identities_file,
               options.hub_connection_string_file.empty() ? "none" : options.hub_connection_string_file);
  SupervisorNotice notice(server->socket_path());
  notice.Ready();
  stop_signal.Wait();
  notice.Stopping();
  spdlog::info("auth is stopping");
  workload_server->Stop();
  identities.Stop();
  sync.Stop();
  server->Stop();
  return fatal;
}

}  // namespace holdfast::auth

int main(int argc, char** argv) {
  return holdfast::ServiceMain(argc, argv, "auth", "Holdfast auth: decides who a client is", holdfast::auth::Run);
}
