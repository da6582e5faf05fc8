// holdfast-hubsim: a small hub that speaks the IoT Hub device contract. See README.md.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <thread>

#include "lib/base/log.h"
#include "lib/base/stop_signal.h"
#include "tests/hubsim/hub.h"

namespace holdfast::hubsim {
namespace {

void AddFlags(CLI::App* app, HubOptions* o) {
  app->add_option("--hostname", o->hostname, "Name of the hub, in user names and tokens")->capture_default_str();
  app->add_option("--bind", o->bind, "IP address for MQTT and REST (control is on loopback)")->capture_default_str();
  app->add_option("--mqtts-port", o->mqtts_port, "MQTT over TLS; 0 = a free port")->capture_default_str();
  app->add_option("--https-port", o->https_port, "REST over TLS; 0 = a free port")->capture_default_str();
  app->add_option("--http-control-port", o->control_port, "Control over plain HTTP on loopback; 0 = a free port")
      ->capture_default_str();
  app->add_option("--cert", o->cert_file, "Server certificate, PEM, with its chain")->required();
  app->add_option("--key", o->key_file, "Its private key, PEM")->required();
  app->add_option("--device-ca", o->device_ca_file, "CAs that device certificates may come from, PEM");
  app->add_option("--registry", o->registry_file, "Identities, JSON");
  app->add_flag("--save", o->save, "Write the registry file at every change");
  app->add_option("--service-key", o->service_key, "Base64 key of the policy iothubowner; default: a random one");
  app->add_option("--events-file", o->events_file, "Received telemetry goes here too, a JSON line each");
  app->add_option("--events-max", o->events_max, "Messages kept in memory; the oldest go first")->capture_default_str();
  app->add_option("--events-bytes-max", o->events_bytes_max, "Bytes of them")->capture_default_str();
  app->add_option("--devices-max", o->devices_max, "Devices in the registry")->capture_default_str();
  app->add_option("--clock-skew", o->clock_skew_seconds, "Seconds that a token is honoured after its end")
      ->capture_default_str()
      ->check(CLI::Range(0, 86'400));
}

int Serve(const HubOptions& options, bool json, StopSignal& stop) {
  auto hub = Hub::Create(options, *Clock::System());
  if (!hub.ok()) {
    fmt::print(stderr, "holdfast-hubsim: {}\n", std::string(hub.status().message()));
    return 1;
  }
  std::thread thread([&hub] { (*hub)->Run(); });
  if (json) fmt::print("{}\n", (*hub)->Description());
  std::fflush(stdout);
  spdlog::info("listening {}", (*hub)->Description().substr(0, (*hub)->Description().find(",\"service_connection")));
  stop.Wait();
  (*hub)->Stop();
  thread.join();
  return 0;
}

}  // namespace
}  // namespace holdfast::hubsim

int main(int argc, char** argv) {
  holdfast::StopSignal stop;
  CLI::App app{"A small hub that speaks the IoT Hub device contract: for tests, demos and development"};
  holdfast::hubsim::HubOptions options;
  bool json = false;
  std::string log_level = "info";
  holdfast::hubsim::AddFlags(&app, &options);
  app.add_flag("--json", json, "Print one line of JSON when it listens");
  app.add_option("--log-level", log_level, "trace, debug, info, warn, error or off")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (const absl::Status status = holdfast::InitLog("hubsim", log_level); !status.ok()) {
    fmt::print(stderr, "holdfast-hubsim: {}\n", std::string(status.message()));
    return 1;
  }
  return holdfast::hubsim::Serve(options, json, stop);
}
