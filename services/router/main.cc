// holdfast-router: the MQTT server of the site. See README.md.
#include <memory>
#include <string>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/base/status.h"
#include "lib/config/config.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/server.h"
#include "lib/service/service_main.h"
#include "lib/service/supervisor_notice.h"
#include "services/router/methods_service.h"
#include "services/router/router.h"
#include "services/router/router_options.h"
#include "services/router/router_service.h"
#include "services/router/twins_service.h"

namespace holdfast::router {
absl::Status Run(const ServiceFlags& flags, StopSignal& stop_signal) {
  ASSIGN_OR_RETURN(const auto file, ConfigFile::Load(flags.config));
  ASSIGN_OR_RETURN(const GatewayOptions gateway, ReadGatewayOptions(*file));
  ASSIGN_OR_RETURN(RouterOptions options, ReadRouterOptions(*file));
  options.gateway_device_id = gateway.device_id;
  RETURN_IF_ERROR(InitLog("router", flags.log_level.empty() ? gateway.log_level : flags.log_level));
  ASSIGN_OR_RETURN(const std::unique_ptr<Metrics> metrics, Metrics::Create(options.metrics_address));

  rpc::Channels auth(gateway.run_dir, "auth");
  rpc::Channels store(gateway.run_dir, "store");
  rpc::Channels routers(gateway.run_dir, "router");
  ASSIGN_OR_RETURN(const std::unique_ptr<Router> router, Router::Create(options, {.auth = auth,
                                                                                  .store = store,
                                                                                  .metrics = *metrics,
                                                                                  .clock = *Clock::System(),
                                                                                  .routers = &routers,
                                                                                  .instance = flags.instance,
                                                                                  .version = HOLDFAST_VERSION}));
  RouterService service(router.get());
  MethodsService methods(&router->methods());
  TwinsService twins(router.get());
  ASSIGN_OR_RETURN(const std::unique_ptr<rpc::Server> server,
                   rpc::Server::Create({.run_dir = gateway.run_dir, .service = "router", .instance = flags.instance},
                                       {&service, &methods, &twins}));

  SupervisorNotice notice(server->socket_path());
  router->Start([&] {
    server->SetServing(true);
    notice.Ready();
  });
  spdlog::info("router is up socket={} mqtt_port={} mqtts_port={}", server->socket_path(), router->mqtt_port(),
               router->mqtts_port());
  const int signal = stop_signal.Wait();
  notice.Stopping();
  spdlog::info("router is stopping signal={}", signal);
  server->SetServing(false);
  router->methods().Stop();
  server->Stop(absl::Seconds(1));
  router->Stop();  // After the last call into it: its threads are gone then.
  return absl::OkStatus();
}

}  // namespace holdfast::router

int main(int argc, char** argv) {
  return holdfast::ServiceMain(argc, argv, "router", "Holdfast router: the MQTT server of the site",
                               holdfast::router::Run);
}
