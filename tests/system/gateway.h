#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/gateway.h"
#include "holdfast/router/v1/router.grpc.pb.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "holdfast/uplink/v1/uplink.grpc.pb.h"
#include "lib/testing/temp_dir.h"
#include "tests/system/process.h"
#include "tests/system/publisher.h"

namespace holdfast::systest {

// A whole gateway of the four real binaries, each its own process to kill, freeze and start again, in a directory of
// its own, with plain MQTT on a free port of 127.0.0.1. When the test has failed, the ends of the processes' logs are
// printed at destruction. Not thread-safe.
class Gateway {
 public:
  struct Options {
    // "device" or "device/module".
    std::vector<std::string> devices = {"dev1"};
    // "mqtt://127.0.0.1:1883".
    std::string upstream;
    // What goes into holdfast.toml beside what every test needs: "store.queue_bytes_max" → "1048576" (TOML text).
    std::map<std::string, std::string> config;
    // Where the store keeps its data; empty = a folder of the gateway's own.
    std::string data_dir;
    bool identities = true;  // write identities.toml
    // Added to the environment of one service: "store" → {"LD_PRELOAD", …}.
    std::map<std::string, std::map<std::string, std::string>> env;
  };

  static constexpr std::array<std::string_view, 4> kServices = {"store", "auth", "router", "uplink"};

  explicit Gateway(Options options);
  ~Gateway();

  // Starts what does not run, in order, and waits until all serve. False: the log says why.
  bool Start(absl::Duration timeout = absl::Seconds(30));
  bool Start(std::string_view service, absl::Duration timeout = absl::Seconds(30));
  // Starts without waiting.
  void Launch(std::string_view service) { process(service).Start(); }
  // SIGTERM in reverse order. False if one had to be killed or its exit code was not 0.
  bool Stop();
  void KillAll();
  // SIGKILL, start again, and wait until it serves.
  bool Crash(std::string_view service);

  // Health of the process, or of one gRPC service of it by full name.
  bool Serving(std::string_view service, std::string_view grpc_service = "");
  bool WaitUntilServing(std::string_view service, absl::Duration timeout);
  Process& process(std::string_view service);

  int mqtt_port() const { return mqtt_port_; }
  const std::string& dir() const { return dir_.path(); }
  const std::string& data_dir() const { return data_dir_; }
  const std::string& run_dir() const { return run_dir_; }
  const std::string& config_path() const { return config_path_; }
  const std::string& identities_path() const { return identities_path_; }
  const std::string& key(const std::string& device) const { return keys_.at(device); }
  static constexpr std::string_view hub_hostname() { return "hub.test"; }
  // Writes holdfast.toml anew, with `config` merged over what it was made from.
  void Reconfigure(const std::map<std::string, std::string>& config);

  // For a Publisher of that device at this gateway.
  Publisher::Options Device(const std::string& device, uint64_t count = UINT64_MAX) const;
  // A CONNECT with the device's name and `password`, on a new connection. nullopt: closed without an answer.
  std::optional<mqtt::ConnackCode> TryLogin(const std::string& device, const std::string& password) const;
  // A logged-in connection of a device or "device/module"; !open() if it was refused. `port`: of another router; 0 = of
  // this one.
  MqttStream LoggedIn(const std::string& device, bool clean_session = true, int port = 0) const;

  absl::StatusOr<uplink::v1::GetUplinkStatusResponse> UplinkStatus() const;
  absl::StatusOr<router::v1::GetRouterStatusResponse> RouterStatus() const;
  absl::StatusOr<store::v1::GetStoreStatusResponse> StoreStatus() const;
  // The one queue that messages for the hub lie in.
  absl::StatusOr<store::v1::Queue> UpstreamQueue() const;
  // Records in a queue; 0 if there is none of that name.
  uint64_t QueueRecords(const std::string& name) const;
  // True once the uplink has nothing left to deliver.
  bool WaitUntilDrained(absl::Duration timeout) const;
  bool WaitForLink(uplink::v1::LinkState state, absl::Duration timeout) const;

 private:
  void WriteConfig() const;
  void PrintLogs() const;

  const TempDir dir_;
  Options options_;
  const std::string run_dir_;
  const std::string data_dir_;
  const std::string config_path_;
  const std::string identities_path_;
  const int mqtt_port_;
  std::map<std::string, std::string> keys_;
  std::map<std::string, std::unique_ptr<Process>, std::less<>> processes_;
  cli::Gateway client_;
};

}  // namespace holdfast::systest
