// holdfast-store: the composition root.
#include <malloc.h>

#include <string>

#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/base/status.h"
#include "lib/config/config.h"
#include "lib/rpc/server.h"
#include "lib/service/service_main.h"
#include "lib/service/supervisor_notice.h"
#include "services/store/engine.h"
#include "services/store/read_loop.h"
#include "services/store/store_options.h"
#include "services/store/store_service.h"

namespace holdfast::store {
absl::Status Run(const ServiceFlags& flags, StopSignal& stop_signal) {
  ASSIGN_OR_RETURN(const auto file, ConfigFile::Load(flags.config));
  ASSIGN_OR_RETURN(const GatewayOptions gateway, ReadGatewayOptions(*file));
  ASSIGN_OR_RETURN(StoreOptions options, ReadStoreOptions(*file, gateway));
  RETURN_IF_ERROR(InitLog("store", flags.log_level.empty() ? gateway.log_level : flags.log_level));
  ASSIGN_OR_RETURN(const auto metrics, Metrics::Create(options.metrics_address));
  ReadLoop loop;  // Outlives the engine, whose last answers may go through it.
  ASSIGN_OR_RETURN(const auto engine, Engine::Create(std::move(options.engine), metrics.get()));
  QueuesService queues(engine.get(), &loop);
  KeyValueService key_value(engine.get(), &loop);
  StoreStatusService status(engine.get());
  ASSIGN_OR_RETURN(const auto server,
                   rpc::Server::Create({.run_dir = gateway.run_dir, .service = "store", .instance = flags.instance},
                                       {&queues, &key_value, &status}));
  server->SetServing(true);
  SupervisorNotice notice(server->socket_path());
  engine->OnWritable([&server](bool writable) {
    server->SetServing(std::string(v1::Queues::service_full_name()), writable);
    server->SetServing(std::string(v1::KeyValue::service_full_name()), writable);
  });
  spdlog::info("store is ready socket={}", server->socket_path());

  notice.Ready();
  const int signal = stop_signal.Wait();
  notice.Stopping();
  spdlog::info("store stops signal={}", signal);
  server->SetServing(false);
  engine->OnWritable(nullptr);
  const absl::Status stopping = absl::UnavailableError("the store is stopping; retry");
  queues.EndStreams(stopping);
  engine->EndStreams(stopping);
  server->Stop();
  return absl::OkStatus();
}

}  // namespace holdfast::store

int main(int argc, char** argv) {
  // Blocks are some ten KB each and short-lived: few arenas and prompt returns keep the process small.
  ::mallopt(M_ARENA_MAX, 2);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 20);
  return holdfast::ServiceMain(argc, argv, "store", "Holdfast store: queues of records and a key-value space on disk",
                               holdfast::store::Run);
}
