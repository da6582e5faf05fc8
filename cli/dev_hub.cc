#include "cli/dev_hub.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "cli/dev_directory.h"
#include "cli/free_ports.h"
#include "lib/base/status.h"
#include "lib/pki/certificate.h"
#include "lib/pki/certificate_files.h"
#include "lib/pki/file.h"
#include "lib/pki/private_key.h"

namespace holdfast::cli {
namespace {

using nlohmann::json;

constexpr char kEdgeHub[] = "$edgeHub";
constexpr size_t kRegistryBytesMax = 64 << 20;

// The object in the file; an empty one if there is no file.
absl::StatusOr<json> ReadObject(const std::string& path) {
  auto text = pki::ReadFile(path, kRegistryBytesMax);
  if (absl::IsNotFound(text.status())) return json::object();
  if (!text.ok()) return text.status();
  json object = json::parse(*text, nullptr, false);
  if (!object.is_object()) return absl::InvalidArgumentError(fmt::format("{} is not a JSON object; remove it", path));
  return object;
}

struct Settings {
  uint16_t mqtts_port = 0;
  uint16_t https_port = 0;
  uint16_t control_port = 0;
  std::string service_key;
};

absl::StatusOr<Settings> ProvideSettings(const std::string& path) {
  ASSIGN_OR_RETURN(json object, ReadObject(path));
  if (object.empty()) {
    ASSIGN_OR_RETURN(const std::vector<uint16_t> ports, FreePorts(3));
    ASSIGN_OR_RETURN(const std::string key, NewDeviceKey());
    object = {{"mqtts_port", ports[0]}, {"https_port", ports[1]}, {"control_port", ports[2]}, {"service_key", key}};
    RETURN_IF_ERROR(ReplaceFile(path, object.dump(2) + "\n"));
  }
  try {
    return Settings{.mqtts_port = object.at("mqtts_port"),
                    .https_port = object.at("https_port"),
                    .control_port = object.at("control_port"),
                    .service_key = object.at("service_key")};
  } catch (const json::exception& e) {
    return absl::InvalidArgumentError(fmt::format("{}: {}; remove it, and a new one is made", path, e.what()));
  }
}

absl::StatusOr<json> NewSasAuthentication() {
  ASSIGN_OR_RETURN(const std::string primary, NewDeviceKey());
  ASSIGN_OR_RETURN(const std::string secondary, NewDeviceKey());
  return json{{"type", "sas"}, {"symmetricKey", {{"primaryKey", primary}, {"secondaryKey", secondary}}}};
}

struct Registry {
  std::string edge_hub_key;
  std::vector<DevDevice> devices;
  std::vector<DevModule> modules;
};

// The one in the list whose `name` is that id, or null.
json* Find(json& list, const char* name, std::string_view id) {
  for (json& entry : list) {
    if (entry.at(name).get_ref<const std::string&>() == id) return &entry;
  }
  return nullptr;
}
json* FindDevice(json& devices, std::string_view id) {
  return Find(devices, "deviceId", id);
}

// Their generation ids are given here, so that a module's environment is known before the hub runs.
absl::Status AddMissingModules(json& modules, int count, bool* is_changed) {
  for (int i = 1; i <= count; ++i) {
    const std::string id = fmt::format("mod{}", i);
    if (Find(modules, "moduleId", id) != nullptr) continue;
    ASSIGN_OR_RETURN(const json authentication, NewSasAuthentication());
    modules.push_back({{"moduleId", id},
                       {"generationId", fmt::to_string(absl::ToUnixNanos(absl::Now()))},
                       {"authentication", authentication}});
    *is_changed = true;
  }
  return absl::OkStatus();
}

absl::Status AddMissing(json& devices, int count, int modules, bool* is_changed) {
  if (FindDevice(devices, kOwnDevice) == nullptr) {
    ASSIGN_OR_RETURN(const json edge, NewSasAuthentication());
    ASSIGN_OR_RETURN(const json edge_hub, NewSasAuthentication());
    devices.push_back({{"deviceId", kOwnDevice},
                       {"capabilities", {{"iotEdge", true}}},
                       {"authentication", edge},
                       {"modules", json::array({json{{"moduleId", kEdgeHub}, {"authentication", edge_hub}}})}});
    *is_changed = true;
  }
  RETURN_IF_ERROR(AddMissingModules(FindDevice(devices, kOwnDevice)->at("modules"), modules, is_changed));
  for (int i = 1; i <= count; ++i) {
    const std::string id = fmt::format("dev{}", i);
    if (FindDevice(devices, id) != nullptr) continue;
    ASSIGN_OR_RETURN(const json authentication, NewSasAuthentication());
    devices.push_back({{"deviceId", id}, {"parent", kOwnDevice}, {"authentication", authentication}});
    *is_changed = true;
  }
  return absl::OkStatus();
}

std::string PrimaryKey(const json& identity) {
  const json::json_pointer path("/authentication/symmetricKey/primaryKey");
  return identity.contains(path) && identity.at(path).is_string() ? identity.at(path).get<std::string>() : "";
}

// What of the registry the gateway and its devices must be told. A child says who its parent is by name, or, once the
// hub has saved the file, by the parent's scope.
Registry ReadIdentities(json& devices) {
  Registry result;
  const json& edge = *FindDevice(devices, kOwnDevice);
  for (const json& module : edge.at("modules")) {
    const std::string id = module.at("moduleId");
    if (id == kEdgeHub) {
      result.edge_hub_key = PrimaryKey(module);
    } else if (!PrimaryKey(module).empty()) {
      result.modules.push_back({id, module.value("generationId", "")});
    }
  }
  for (const json& device : devices) {
    const std::string key = PrimaryKey(device);
    if (&device != &edge && !key.empty()) result.devices.push_back({device.at("deviceId").get<std::string>(), key});
  }
  return result;
}

absl::StatusOr<Registry> ProvideRegistry(const std::string& path, int count, int modules) {
  ASSIGN_OR_RETURN(json registry, ReadObject(path));
  try {
    json& devices = registry["devices"];
    if (devices.is_null()) devices = json::array();
    bool is_changed = false;
    RETURN_IF_ERROR(AddMissing(devices, count, modules, &is_changed));
    if (is_changed) RETURN_IF_ERROR(ReplaceFile(path, registry.dump(2) + "\n"));
    return ReadIdentities(devices);
  } catch (const json::exception& e) {
    return absl::InvalidArgumentError(fmt::format("{} is no registry: {}", path, e.what()));
  }
}

absl::Status MakeServerFiles(const std::string& dir, const std::string& hub_hostname) {
  const std::string ca = dir + "/ca";
  const absl::Time now = absl::Now();
  RETURN_IF_ERROR(pki::InitCertificates(ca, "simulated hub", now).status());
  ASSIGN_OR_RETURN(const std::string chain, pki::ReadFile(ca + "/" + pki::kDeviceCaFile));
  ASSIGN_OR_RETURN(const pki::Certificate issuer, pki::Certificate::FromPem(chain));
  ASSIGN_OR_RETURN(const pki::PrivateKey issuer_key, pki::PrivateKey::FromFile(ca + "/" + pki::kDeviceCaKeyFile));
  ASSIGN_OR_RETURN(const pki::PrivateKey key, pki::PrivateKey::Generate());
  ASSIGN_OR_RETURN(const pki::Certificate certificate,
                   pki::MakeServerCertificate(key, {"localhost", "127.0.0.1", hub_hostname}, issuer, issuer_key, now));
  RETURN_IF_ERROR(ReplaceFile(dir + "/server.key", key.ToPem()));
  return ReplaceFile(dir + "/server.pem", certificate.ToPem() + chain);
}

}  // namespace

absl::StatusOr<DevHub> PrepareDevHub(const std::string& dir, const std::string& hub_hostname, int devices,
                                     int modules) {
  RETURN_IF_ERROR(pki::MakeDirectory(dir, 0700));
  ASSIGN_OR_RETURN(const Settings settings, ProvideSettings(dir + "/hub.json"));
  ASSIGN_OR_RETURN(Registry registry, ProvideRegistry(dir + "/registry.json", devices, modules));
  RETURN_IF_ERROR(MakeServerFiles(dir, hub_hostname));
  const std::string connection_string_file = dir + "/edge_connection_string";
  RETURN_IF_ERROR(
      ReplaceFile(connection_string_file, fmt::format("HostName={};DeviceId={};ModuleId={};SharedAccessKey={}\n",
                                                      hub_hostname, kOwnDevice, kEdgeHub, registry.edge_hub_key)));
  DevHub hub;
  hub.mqtts_port = settings.mqtts_port;
  hub.control_port = settings.control_port;
  hub.rest_url = fmt::format("https://localhost:{}", settings.https_port);
  hub.control_url = fmt::format("http://127.0.0.1:{}", settings.control_port);
  hub.service_connection_string =
      fmt::format("HostName={};SharedAccessKeyName=iothubowner;SharedAccessKey={}", hub_hostname, settings.service_key);
  hub.devices = std::move(registry.devices);
  hub.modules = std::move(registry.modules);
  hub.arguments = {"--hostname",
                   hub_hostname,
                   "--mqtts-port",
                   fmt::to_string(settings.mqtts_port),
                   "--https-port",
                   fmt::to_string(settings.https_port),
                   "--http-control-port",
                   fmt::to_string(settings.control_port),
                   "--cert",
                   dir + "/server.pem",
                   "--key",
                   dir + "/server.key",
                   "--registry",
                   dir + "/registry.json",
                   "--save",
                   "--service-key",
                   settings.service_key};
  hub.environment = {
      "HOLDFAST_AUTH_IDENTITIES_FILE=", "HOLDFAST_AUTH_HUB_CONNECTION_STRING_FILE=" + connection_string_file,
      fmt::format("HOLDFAST_UPLINK_UPSTREAM=iothub://localhost:{}", settings.mqtts_port),
      "HOLDFAST_UPLINK_HUB_REST_URL=" + hub.rest_url, "HOLDFAST_UPLINK_CA_FILE=" + dir + "/ca/" + pki::kRootCaFile};
  return hub;
}

}  // namespace holdfast::cli
