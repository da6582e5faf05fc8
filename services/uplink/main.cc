// holdfast-uplink: config → objects in dependency order → serve → stop in reverse.
#include <fmt/format.h>

#include <string>

#include "absl/synchronization/mutex.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/base/status.h"
#include "lib/config/config.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/server.h"
#include "lib/service/service_main.h"
#include "lib/service/supervisor_notice.h"
#include "services/uplink/leadership.h"
#include "services/uplink/link_override.h"
#include "services/uplink/uplink_options.h"
#include "services/uplink/uplink_service.h"

namespace holdfast::uplink {
absl::Status Run(const ServiceFlags& flags, StopSignal& stop_signal) {
  ASSIGN_OR_RETURN(const auto file, ConfigFile::Load(flags.config));
  ASSIGN_OR_RETURN(const GatewayOptions gateway, ReadGatewayOptions(*file));
  RETURN_IF_ERROR(InitLog("uplink", flags.log_level.empty() ? gateway.log_level : flags.log_level));
  ASSIGN_OR_RETURN(UplinkOptions options, ReadUplinkOptions(*file, gateway));
  ASSIGN_OR_RETURN(TopicTemplate topics, TopicTemplate::Create(options.topic_template, options.module_topic_template));
  ASSIGN_OR_RETURN(const auto metrics, Metrics::Create(options.metrics_address));

  rpc::Channels store(gateway.run_dir, "store");
  rpc::Channels auth(gateway.run_dir, "auth");
  rpc::Channels router(gateway.run_dir, "router");
  Leadership leadership(&store, flags.instance, {});
  const auto fence = [&leadership](store::v1::Fence* out) { leadership.SetFence(out); };
  options.uplink.feed.fence = fence;
  options.uplink.mode_comes_later = true;
  Uplink::MakeUpstream make_upstream;
  if (options.hub) {
    options.hub->exchange.c2d.fence = fence;
    options.hub->version = HOLDFAST_VERSION;
    make_upstream = [&](UpstreamHost* host, boost::asio::io_context& io, Link* link) {
      return std::make_unique<HubUpstream>(*options.hub,
                                           HubUpstream::Services{.auth = &auth, .store = &store, .router = &router},
                                           metrics.get(), *Clock::System(), host, io, link);
    };
  }
  Uplink uplink(options.uplink, std::move(topics), &store, metrics.get(), *Clock::System(), make_upstream);
  LinkOverride link_override(&store, *Clock::System(), metrics.get(), {});
  UplinkService service(&uplink, &leadership, &link_override, *Clock::System(), options.uplink.upstream);
  LinkControlService control(&link_override, *Clock::System());
  ASSIGN_OR_RETURN(const auto server,
                   rpc::Server::Create({.run_dir = gateway.run_dir, .service = "uplink", .instance = flags.instance},
                                       {&service, &control}));
  // A hub that is away is no illness; one that takes messages and acknowledges none is.
  uplink.OnStalled([&server](bool stalled) { server->SetServing("holdfast.uplink.v1.UplinkStatus", !stalled); });
  server->SetServing(true);
  SupervisorNotice notice(server->socket_path());
  link_override.Start([&uplink](const LinkOverride::State& s) { uplink.SetMode(s.mode, s.ends_at); });
  absl::Mutex mutex;
  bool stopping = false;
  std::string lost;
  leadership.Start({.on_lead =
                        [&] {
                          absl::MutexLock lock(&mutex);
                          if (!stopping) uplink.Start();
                        },
                    .on_lost =
                        [&lost](const std::string& reason) {
                          lost = reason;
                          StopSignal::Stop();
                        }});
  spdlog::info("uplink started upstream={} client_id={} socket={}",
               options.uplink.upstream.empty() ? "none" : options.uplink.upstream,
               options.hub ? "$edgeHub" : options.uplink.link.client.client_id, server->socket_path());

  notice.Ready();
  const int signal = stop_signal.Wait();
  notice.Stopping();
  spdlog::info("stopping signal={}", signal);
  server->SetServing(false);
  service.Stop();
  {
    absl::MutexLock lock(&mutex);
    stopping = true;
  }
  link_override.Stop();
  // While it leads: the last checkpoint is behind its fence.
  uplink.Stop();
  leadership.Stop();
  server->Stop();
  // Whoever supervises it starts it anew, and it stands by.
  if (!lost.empty()) return absl::AbortedError(fmt::format("this uplink leads no more: {}", lost));
  return absl::OkStatus();
}

}  // namespace holdfast::uplink

int main(int argc, char** argv) {
  return holdfast::ServiceMain(argc, argv, "uplink",
                               "Holdfast uplink: brings what lies in the store's upstream queue to the hub",
                               holdfast::uplink::Run);
}
