// The folder of `holdfast dev`: certificates, identities, configuration, sockets and data of one gateway. Made at the
// first start, used again at each later one.
//
//   DIR/holdfast.toml     written once; yours to edit
//   DIR/identities.toml   devices dev1… and modules mod1… with random keys; kept, extended when more are asked for;
//   0600 DIR/hub/              with --hub iothub: the simulated hub's registry, certificates and ports (dev_hub.h)
//   DIR/dev.json          what `dev --json` prints, kept up to date with the processes' ids; 0600
//   DIR/dev.lock          held while `holdfast dev` runs
//   DIR/data/             data_dir: the store's database, auth's keys, store's and the CAs (data/secrets)
//   DIR/run/              run_dir: sockets; elsewhere, by a short name, if DIR's path is too long for a socket
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/dev_hub.h"
#include "lib/base/unique_fd.h"

namespace holdfast::cli {

inline constexpr int kDevicesMax = 10'000;
inline constexpr int kModulesMax = 99;

struct DevOptions {
  std::string dir;
  std::optional<std::string> upstream;  // mqtt://HOST:PORT
  std::string hub;                      // "iothub": a simulated one, instead of identities.toml and `upstream`
  std::optional<std::string> hostname;
  std::optional<uint16_t> mqtt_port;
  std::optional<uint16_t> mqtts_port;
  std::optional<uint16_t> https_port;
  int devices = 1;
  int modules = 0;
  bool encrypt = false;   // what is stored; once on it stays on
  std::string log_level;  // Empty: the configuration's.
};

struct DevDirectory {
  UniqueFd lock;
  std::string dir;  // absolute
  std::string config_path;
  std::string run_dir;
  std::string data_dir;
  std::string ca_file;
  std::string hostname;
  std::string hub_hostname;
  uint16_t mqtt_port = 0;
  uint16_t mqtts_port = 0;
  uint16_t https_port = 0;
  std::vector<DevDevice> devices;  // all that have a symmetric key
  std::vector<DevModule> modules;  // of the gateway's own device, likewise
  std::optional<DevHub> hub;
  // What the services get besides the file: HOLDFAST_… that this run's options set.
  std::vector<std::string> environment;
};

// Locks `options.dir` and makes in it what is missing. FAILED_PRECONDITION if another `holdfast dev` runs there;
// INVALID_ARGUMENT for a file in it that can't be used, with its line.
absl::StatusOr<DevDirectory> PrepareDevDirectory(const DevOptions& options);

// HostName=…;DeviceId=…;SharedAccessKey=…;GatewayHostName=…
std::string ConnectionString(const DevDirectory& directory, const DevDevice& device);

// The variables from which an unmodified IoT Edge module starts: IOTEDGE_…
std::map<std::string, std::string> ModuleEnvironment(const DevDirectory& directory, const DevModule& module);

// Writes `text` to `path` (0600) so that a reader sees the old file or the new one.
absl::Status ReplaceFile(const std::string& path, const std::string& text);

}  // namespace holdfast::cli
