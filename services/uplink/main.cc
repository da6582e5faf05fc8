// holdfast-uplink: config → objects in dependency order → serve → stop in reverse.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/base/status.h"
#include "lib/base/stop_signal.h"
#include "lib/config/config.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/server.h"
#include "services/uplink/uplink_options.h"
#include "services/uplink/uplink_service.h"

namespace holdfast::uplink {
namespace {

struct Flags {
  std::string config;
  std::string instance = "0";
  std::string log_level;
};

absl::Status Run(const Flags& flags, StopSignal* stop) {
  ASSIGN_OR_RETURN(const auto file, ConfigFile::Load(flags.config));
  ASSIGN_OR_RETURN(const GatewayOptions gateway, ReadGatewayOptions(*file));
  RETURN_IF_ERROR(InitLog("uplink", flags.log_level.empty() ? gateway.log_level : flags.log_level));
  ASSIGN_OR_RETURN(const UplinkOptions options, ReadUplinkOptions(*file, gateway));
  ASSIGN_OR_RETURN(TopicTemplate topics, TopicTemplate::Create(options.topic_template, options.module_topic_template));
  ASSIGN_OR_RETURN(const auto metrics, Metrics::Create(options.metrics_address));

  rpc::Channels store(gateway.run_dir, "store");
  Uplink uplink(options.uplink, std::move(topics), &store, metrics.get(), *Clock::System());
  UplinkService service(&uplink, options.uplink.upstream);
  ASSIGN_OR_RETURN(
      const auto server,
      rpc::Server::Create({.run_dir = gateway.run_dir, .service = "uplink", .instance = flags.instance}, {&service}));
  // A hub that is away is no illness; one that takes messages and acknowledges none is.
  uplink.OnStalled([&server](bool stalled) { server->SetServing("holdfast.uplink.v1.UplinkStatus", !stalled); });
  server->SetServing(true);
  uplink.Start();
  spdlog::info("uplink started upstream={} client_id={} socket={}",
               options.uplink.upstream.empty() ? "none" : options.uplink.upstream, options.uplink.link.client.client_id,
               server->socket_path());

  const int signal = stop->Wait();
  spdlog::info("stopping signal={}", signal);
  server->SetServing(false);
  service.Stop();
  uplink.Stop();
  server->Stop();
  return absl::OkStatus();
}

}  // namespace
}  // namespace holdfast::uplink

int main(int argc, char** argv) {
  holdfast::StopSignal stop;
  holdfast::uplink::Flags flags;
  CLI::App app("Brings what lies in the store's upstream queue to the hub.");
  app.add_option("--config", flags.config, "configuration file (holdfast.toml)");
  app.add_option("--instance", flags.instance, "name of this instance; its socket is <run_dir>/uplink/<name>.sock");
  app.add_option("--log-level", flags.log_level, "trace, debug, info, warn, error, off");
  app.set_version_flag("--version", std::string("holdfast-uplink ") + HOLDFAST_VERSION);
  CLI11_PARSE(app, argc, argv);
  if (absl::Status status = holdfast::uplink::Run(flags, &stop); !status.ok()) {
    fmt::print(stderr, "holdfast-uplink: {}\n", std::string(status.message()));
    return 1;
  }
  return 0;
}
