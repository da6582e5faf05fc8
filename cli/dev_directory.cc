#include "cli/dev_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>

#include "absl/time/clock.h"
#include "cli/dev_hub.h"
#include "cli/dev_identities.h"
#include "cli/free_ports.h"
#include "lib/base/status.h"
#include "lib/config/config.h"
#include "lib/pki/certificate_files.h"

namespace holdfast::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kLongestSocket[] = "/workload/mod99/workload.sock";
constexpr size_t kSocketPathMax = sizeof(sockaddr_un::sun_path) - 1;

absl::StatusOr<UniqueFd> LockDirectory(const std::string& dir) {
  const std::string path = dir + "/dev.lock";
  UniqueFd fd(::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, fmt::format("can't create {}", path));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    char pid[32] = {};
    [[maybe_unused]] const ssize_t got = ::read(fd.get(), pid, sizeof pid - 1);
    return absl::FailedPreconditionError(
        fmt::format("another `holdfast dev` (pid {}) runs in {}. Stop it first, or use another --dir", pid, dir));
  }
  const std::string pid = fmt::to_string(::getpid());
  if (::ftruncate(fd.get(), 0) != 0 || ::write(fd.get(), pid.data(), pid.size()) < 0) {
    return ErrnoStatus(errno, fmt::format("can't write {}", path));
  }
  return fd;
}

// A folder under /tmp could have been put there by somebody else: it must be ours, and for us alone.
absl::Status MakePrivateDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return absl::OkStatus();
  if (errno != EEXIST) return ErrnoStatus(errno, fmt::format("can't make {}", path));
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return ErrnoStatus(errno, path);
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 0077) != 0) {
    return absl::FailedPreconditionError(fmt::format("{} exists and is not a folder of yours alone; remove it", path));
  }
  return absl::OkStatus();
}

// DIR/run; or, since a socket's path must fit 107 bytes, the same short name for the same DIR at each start.
absl::StatusOr<std::string> MakeRunDirectory(const std::string& dir) {
  std::string run_dir = dir + "/run";
  if (run_dir.size() + sizeof kLongestSocket - 1 <= kSocketPathMax) {
    std::error_code error;
    fs::create_directories(run_dir, error);
    if (error) return ErrnoStatus(error.value(), fmt::format("can't make {}", run_dir));
    return run_dir;
  }
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const std::string base =
      runtime != nullptr && *runtime != '\0' && std::string_view(runtime).size() < 40 ? runtime : "/tmp";
  const std::string short_dir = fmt::format("{}/holdfast-{}-{:016x}", base, ::geteuid(), std::hash<std::string>{}(dir));
  RETURN_IF_ERROR(MakePrivateDirectory(short_dir));
  fmt::print(stderr, "dev    | {} is too long a path for Unix sockets; they are in {}\n", run_dir, short_dir);
  return short_dir;
}

std::string TomlString(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

absl::Status WriteConfig(const DevDirectory& d, const DevOptions& options) {
  ASSIGN_OR_RETURN(const std::vector<uint16_t> free_ports, FreePorts(3));
  const std::string text = fmt::format(
      R"(# Written by `holdfast dev` at its first start; yours to edit. Its options (--upstream, --mqtt-port, …) win over this file.
[gateway]
hostname = {hostname}
alternative_names = ["localhost", "127.0.0.1", "::1"]
hub_hostname = "holdfast.local"
run_dir = {run_dir}
data_dir = {data_dir}

[auth]
identities_file = {identities}

[router]
# Plain MQTT, on loopback only.
mqtt_address = "127.0.0.1:{mqtt_port}"
mqtts_address = "0.0.0.0:{mqtts_port}"
# Modules that call methods expect 443: --https-port 443.
https_address = "0.0.0.0:{https_port}"

[uplink]
# The hub: mqtt://HOST:PORT. Empty = none; messages are held until there is one.
upstream = {upstream}
)",
      fmt::arg("hostname", TomlString(options.hostname.value_or("localhost"))),
      fmt::arg("run_dir", TomlString(d.run_dir)), fmt::arg("data_dir", TomlString(d.data_dir)),
      fmt::arg("identities", TomlString(d.dir + "/identities.toml")),
      fmt::arg("mqtt_port", options.mqtt_port.value_or(free_ports[0])),
      fmt::arg("mqtts_port", options.mqtts_port.value_or(free_ports[1])),
      fmt::arg("https_port", options.https_port.value_or(free_ports[2])),
      fmt::arg("upstream", TomlString(options.upstream.value_or(""))));
  return ReplaceFile(d.config_path, text);
}

absl::StatusOr<uint16_t> PortOf(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  const int port = colon == std::string::npos ? 0 : std::atoi(listen.c_str() + colon + 1);
  if (port < 1 || port > 65535) return absl::InvalidArgumentError(fmt::format("\"{}\" is not ADDRESS:PORT", listen));
  return static_cast<uint16_t>(port);
}

// Takes what the file says, then what this run's options say instead.
absl::Status ReadConfig(const DevOptions& options, DevDirectory* d) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ConfigFile> file, ConfigFile::Load(d->config_path));
  ASSIGN_OR_RETURN(const GatewayOptions gateway, ReadGatewayOptions(*file));
  d->hostname = options.hostname.value_or(gateway.hostname);
  d->hub_hostname = gateway.hub_hostname;
  std::string mqtt_address;
  std::string mqtts_address;
  std::string https_address;
  ConfigSection router = file->Section("router");
  router.Read("mqtt_address", &mqtt_address);
  router.Read("mqtts_address", &mqtts_address);
  router.Read("https_address", &https_address);
  if (options.mqtt_port) mqtt_address = fmt::format("127.0.0.1:{}", *options.mqtt_port);
  if (options.mqtts_port) mqtts_address = fmt::format("0.0.0.0:{}", *options.mqtts_port);
  if (options.https_port) https_address = fmt::format("0.0.0.0:{}", *options.https_port);
  ASSIGN_OR_RETURN(d->mqtt_port, PortOf(mqtt_address));
  ASSIGN_OR_RETURN(d->mqtts_port, PortOf(mqtts_address));
  d->environment = {"HOLDFAST_RUN_DIR=" + d->run_dir, "HOLDFAST_GATEWAY_DATA_DIR=" + d->data_dir,
                    "HOLDFAST_GATEWAY_HOSTNAME=" + d->hostname, "HOLDFAST_ROUTER_MQTT_ADDRESS=" + mqtt_address,
                    "HOLDFAST_ROUTER_MQTTS_ADDRESS=" + mqtts_address};
  // A directory of an earlier version has none.
  if (!https_address.empty()) {
    ASSIGN_OR_RETURN(d->https_port, PortOf(https_address));
    d->environment.push_back("HOLDFAST_ROUTER_HTTPS_ADDRESS=" + https_address);
  }
  if (options.upstream) d->environment.push_back("HOLDFAST_UPLINK_UPSTREAM=" + *options.upstream);
  return absl::OkStatus();
}

// Auth serves every module that is there; without any it is as the file says.
void ServeModules(DevDirectory* d) {
  if (d->modules.empty()) return;
  std::string ids;
  for (const DevModule& module : d->modules) ids += (ids.empty() ? "" : ",") + module.id;
  d->environment.push_back("HOLDFAST_AUTH_WORKLOAD_MODULES=" + ids);
  d->environment.push_back(fmt::format("HOLDFAST_AUTH_WORKLOAD_DEVICE_ID={}", kOwnDevice));
}

// Where the key is, what is stored can't be read without it: later starts need not ask for it again.
void EncryptStore(const DevOptions& options, DevDirectory* d) {
  const std::string key_file = d->data_dir + "/secrets/store.key";
  std::error_code error;
  if (!options.encrypt && !fs::exists(key_file, error)) return;
  d->environment.push_back("HOLDFAST_STORE_ENCRYPTION_KEY_FILE=" + key_file);
}

}  // namespace

absl::StatusOr<DevDirectory> PrepareDevDirectory(const DevOptions& options) {
  DevDirectory d;
  std::error_code error;
  fs::create_directories(options.dir, error);
  if (error) return ErrnoStatus(error.value(), fmt::format("can't make {}", options.dir));
  d.dir = fs::canonical(options.dir, error).string();
  if (error) return ErrnoStatus(error.value(), options.dir);
  ASSIGN_OR_RETURN(d.lock, LockDirectory(d.dir));
  d.config_path = d.dir + "/holdfast.toml";
  d.data_dir = d.dir + "/data";
  ASSIGN_OR_RETURN(d.run_dir, MakeRunDirectory(d.dir));
  if (!fs::exists(d.config_path, error)) RETURN_IF_ERROR(WriteConfig(d, options));
  RETURN_IF_ERROR(ReadConfig(options, &d));
  fs::create_directories(d.data_dir, error);
  if (error) return ErrnoStatus(error.value(), fmt::format("can't make {}", d.data_dir));
  const std::string secrets = d.data_dir + "/secrets";
  RETURN_IF_ERROR(pki::InitCertificates(secrets, d.hostname, absl::Now()).status());
  d.ca_file = secrets + "/" + pki::kRootCaFile;
  EncryptStore(options, &d);
  if (options.hub.empty()) {
    ASSIGN_OR_RETURN(DevIdentities identities,
                     ProvideIdentities(d.dir + "/identities.toml", options.devices, options.modules));
    d.devices = std::move(identities.devices);
    d.modules = std::move(identities.modules);
    ServeModules(&d);
    return d;
  }
  ASSIGN_OR_RETURN(DevHub hub, PrepareDevHub(d.dir + "/hub", d.hub_hostname, options.devices, options.modules));
  d.devices = hub.devices;
  d.modules = hub.modules;
  ServeModules(&d);
  d.environment.insert(d.environment.end(), hub.environment.begin(), hub.environment.end());
  d.hub = std::move(hub);
  return d;
}

std::string ConnectionString(const DevDirectory& directory, const DevDevice& device) {
  return fmt::format("HostName={};DeviceId={};SharedAccessKey={};GatewayHostName={}", directory.hub_hostname, device.id,
                     device.key, directory.hostname);
}

std::map<std::string, std::string> ModuleEnvironment(const DevDirectory& directory, const DevModule& module) {
  return {{"IOTEDGE_WORKLOADURI", fmt::format("unix://{}/workload/{}/workload.sock", directory.run_dir, module.id)},
          {"IOTEDGE_GATEWAYHOSTNAME", directory.hostname},
          {"IOTEDGE_IOTHUBHOSTNAME", directory.hub_hostname},
          {"IOTEDGE_DEVICEID", kOwnDevice},
          {"IOTEDGE_MODULEID", module.id},
          {"IOTEDGE_MODULEGENERATIONID", module.generation_id},
          {"IOTEDGE_APIVERSION", "2019-01-30"},
          {"IOTEDGE_AUTHSCHEME", "sasToken"}};
}

absl::Status ReplaceFile(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".tmp";
  UniqueFd fd(::open(temporary.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, fmt::format("can't create {}", temporary));
  for (std::string_view rest = text; !rest.empty();) {
    const ssize_t written = ::write(fd.get(), rest.data(), rest.size());
    if (written < 0 && errno != EINTR) return ErrnoStatus(errno, fmt::format("can't write {}", temporary));
    if (written > 0) rest.remove_prefix(static_cast<size_t>(written));
  }
  if (::fsync(fd.get()) != 0 || ::rename(temporary.c_str(), path.c_str()) != 0) {
    return ErrnoStatus(errno, fmt::format("can't write {}", path));
  }
  return absl::OkStatus();
}

}  // namespace holdfast::cli
