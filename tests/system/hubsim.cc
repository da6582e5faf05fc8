#include "tests/system/hubsim.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "absl/strings/escaping.h"
#include "lib/mqtt/property_bag.h"
#include "lib/pki/certificate.h"
#include "lib/pki/private_key.h"
#include "tests/system/sas.h"

namespace holdfast::systest {
namespace {

using nlohmann::json;

constexpr size_t kLogTailBytes = 4000;

// A CA and a certificate of it for the hub's names; a CA for devices.
void MakeCertificates(const std::string& dir, const std::string& hostname) {
  const absl::Time now = absl::Now();
  const auto ca_key = pki::PrivateKey::Generate();
  const auto key = pki::PrivateKey::Generate();
  const auto device_ca_key = pki::PrivateKey::Generate();
  const auto ca = pki::MakeRootCa(*ca_key, "hubsim root CA", now);
  const auto device_ca = pki::MakeRootCa(*device_ca_key, "hubsim device CA", now);
  const auto certificate = pki::MakeServerCertificate(*key, {"localhost", "127.0.0.1", hostname}, *ca, *ca_key, now);
  WriteFile(dir + "/ca.pem", ca->ToPem());
  WriteFile(dir + "/server.pem", certificate->ToPem() + ca->ToPem());
  WriteFile(dir + "/server.key", key->ToPem());
  WriteFile(dir + "/device_ca.pem", device_ca->ToPem());
  WriteFile(dir + "/device_ca.key", device_ca_key->ToPem());
}

std::string TextAt(const json& object, const char* key) {
  const auto at = object.find(key);
  return at == object.end() || !at->is_string() ? "" : at->get<std::string>();
}

HubEvent EventFromJson(const json& line) {
  HubEvent event{.sequence = line.at("seq"),
                 .device_id = TextAt(line, "device_id"),
                 .module_id = TextAt(line, "module_id"),
                 .actor = TextAt(line, "actor"),
                 .connection = line.at("connection"),
                 .topic = TextAt(line, "topic"),
                 .dup = line.at("dup")};
  for (const auto& [key, value] : line.at("properties").items()) {
    event.properties[key] = value.is_string() ? value.get<std::string>() : "";
  }
  absl::Base64Unescape(TextAt(line, "body"), &event.body);
  return event;
}

}  // namespace

std::string IdentityPath(const std::string& id) {
  const size_t slash = std::min(id.find('/'), id.size());
  std::string path;
  mqtt::AppendPercentEncoded(std::string_view(id).substr(0, slash), &path);
  if (slash == id.size()) return path;
  path += "/modules/";
  mqtt::AppendPercentEncoded(std::string_view(id).substr(slash + 1), &path);
  return path;
}

Hubsim::Hubsim(Options options)
    : options_(std::move(options)),
      mqtts_port_(FreePort()),
      https_port_(FreePort()),
      control_port_(FreePort()),
      service_key_(NewKey()),
      ca_file_(dir_ / "ca.pem"),
      device_ca_file_(dir_ / "device_ca.pem"),
      device_ca_key_file_(dir_ / "device_ca.key"),
      process_(
          [this] {
            std::vector<std::string> argv = {BinDir() + "/holdfast-hubsim",
                                             "--hostname",
                                             options_.hostname,
                                             "--mqtts-port",
                                             std::to_string(mqtts_port_),
                                             "--https-port",
                                             std::to_string(https_port_),
                                             "--http-control-port",
                                             std::to_string(control_port_),
                                             "--cert",
                                             dir_ / "server.pem",
                                             "--key",
                                             dir_ / "server.key",
                                             "--device-ca",
                                             device_ca_file_,
                                             "--registry",
                                             dir_ / "registry.json",
                                             "--save",
                                             "--service-key",
                                             service_key_};
            argv.insert(argv.end(), options_.flags.begin(), options_.flags.end());
            return argv;
          }(),
          dir_ / "hubsim.log") {
  MakeCertificates(dir_.path(), options_.hostname);
  EXPECT_TRUE(Start());
}

Hubsim::~Hubsim() {
  process_.Kill();
  if (!::testing::Test::HasFailure()) return;
  const std::string log = process_.Log();
  std::fprintf(stderr, "--- hubsim.log\n%s\n", log.substr(log.size() - std::min(log.size(), kLogTailBytes)).c_str());
}

bool Hubsim::Start(absl::Duration timeout) {
  process_.Start();
  return WaitFor(timeout, [this] { return Control("GET", "/counters").status == 200; });
}

std::string Hubsim::rest_url() const {
  return fmt::format("https://localhost:{}", https_port_);
}

std::string Hubsim::service_connection_string() const {
  return fmt::format("HostName={};SharedAccessKeyName=iothubowner;SharedAccessKey={}", hostname(), service_key_);
}

hubsim::ControlClient Hubsim::Client() const {
  return hubsim::ControlClient(static_cast<uint16_t>(control_port_));
}

HttpAnswer Hubsim::Control(std::string_view method, const std::string& target, const json& body) const {
  const auto result = Client().Exchange(method, target, body.is_null() ? "" : body.dump());
  if (!result.ok()) return {};
  json parsed = json::parse(result->body, nullptr, false);
  return {.status = result->status, .body = parsed.is_discarded() ? json(result->body) : std::move(parsed)};
}

json Hubsim::Must(std::string_view method, const std::string& target, const json& body) const {
  HttpAnswer answer = Control(method, target, body);
  EXPECT_TRUE(answer.status >= 200 && answer.status < 300)
      << "hubsim: " << method << " " << target << ": " << answer.status << " " << answer.body.dump();
  return std::move(answer.body);
}

json Hubsim::PutDevice(const std::string& id, json body) {
  return Must("PUT", fmt::format("/devices/{}?upsert=true", IdentityPath(id)), body);
}

json Hubsim::PutModule(const std::string& device, const std::string& module, json body) {
  return Must("PUT", fmt::format("/devices/{}?upsert=true", IdentityPath(device + "/" + module)), body);
}

void Hubsim::PutEdge(const std::string& id, const std::string& parent) {
  PutDevice(id, {{"capabilities", {{"iotEdge", true}}}, {"parent", parent}});
}

void Hubsim::PutLeaf(const std::string& id, const std::string& parent) {
  PutDevice(id, {{"parent", parent}});
}

void Hubsim::SetEnabled(const std::string& device, bool enabled) {
  PutDevice(device, {{"status", enabled ? "enabled" : "disabled"}});
}

std::string Hubsim::ChangeKeys(const std::string& id) {
  const std::string key = NewKey();
  const json keys = {{"primaryKey", key}, {"secondaryKey", NewKey()}};
  Must("PUT", fmt::format("/devices/{}?upsert=true", IdentityPath(id)),
       {{"authentication", {{"type", "sas"}, {"symmetricKey", keys}}}});
  return key;
}

void Hubsim::Remove(const std::string& id) {
  Must("DELETE", fmt::format("/devices/{}", IdentityPath(id)));
}

json Hubsim::Get(const std::string& id) const {
  return Must("GET", fmt::format("/devices/{}", IdentityPath(id)));
}

std::string Hubsim::Key(const std::string& id) const {
  return TextAt(Get(id).at("authentication").at("symmetricKey"), "primaryKey");
}

std::string Hubsim::ConnectionString(const std::string& id) const {
  const size_t slash = id.find('/');
  const std::string module = slash == std::string::npos ? "" : fmt::format(";ModuleId={}", id.substr(slash + 1));
  return fmt::format("HostName={};DeviceId={}{};SharedAccessKey={}", hostname(), id.substr(0, slash), module, Key(id));
}

json Hubsim::Twin(const std::string& id) const {
  return Must("GET", fmt::format("/twins/{}", IdentityPath(id)));
}

json Hubsim::PatchDesired(const std::string& id, const json& desired) {
  return Must("PATCH", fmt::format("/twins/{}", IdentityPath(id)), {{"properties", {{"desired", desired}}}});
}

HttpAnswer Hubsim::Invoke(const std::string& id, const std::string& method, const json& payload,
                          int response_timeout_seconds, int connect_timeout_seconds) {
  return Control("POST", fmt::format("/twins/{}/methods", IdentityPath(id)),
                 {{"methodName", method},
                  {"payload", payload},
                  {"responseTimeoutInSeconds", response_timeout_seconds},
                  {"connectTimeoutInSeconds", connect_timeout_seconds}});
}

void Hubsim::SendToDevice(const std::string& device, const std::string& payload, json more) {
  more["device"] = device;
  more["payload_base64"] = absl::Base64Escape(payload);
  Must("POST", "/c2d", more);
}

std::vector<HubEvent> Hubsim::Events(uint64_t from) const {
  std::vector<HubEvent> events;
  const std::string query = from == 0 ? "" : fmt::format("?from={}", from);
  const auto result = Client().Exchange("GET", "/events" + query);
  EXPECT_TRUE(result.ok() && result->status == 200);
  if (!result.ok()) return events;
  std::string_view rest = result->body;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    events.push_back(EventFromJson(json::parse(rest.substr(0, end))));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return events;
}

std::vector<Arrival> Hubsim::Arrivals() const {
  std::vector<Arrival> arrivals;
  for (const HubEvent& event : Events()) {
    Arrival arrival{.topic = event.topic};
    if (ParsePayload(event.body, &arrival)) arrivals.push_back(std::move(arrival));
  }
  return arrivals;
}

uint64_t Hubsim::messages() const {
  return Counters().at("messages");
}

bool Hubsim::WaitForMessages(uint64_t count, absl::Duration timeout) const {
  return WaitFor(timeout, [&] { return messages() >= count; });
}

void Hubsim::ForgetEvents() {
  Must("DELETE", "/events");
}

json Hubsim::Connections() const {
  return Must("GET", "/connections");
}

bool Hubsim::IsConnected(const std::string& id) const {
  for (const json& c : Connections()) {
    const std::string module = TextAt(c, "module_id");
    if (id == TextAt(c, "device_id") + (module.empty() ? "" : "/") + module) return true;
  }
  return false;
}

bool Hubsim::WaitForConnection(const std::string& id, absl::Duration timeout) const {
  return WaitFor(timeout, [&] { return IsConnected(id); });
}

json Hubsim::Counters() const {
  return Must("GET", "/counters");
}

uint64_t Hubsim::SetFault(const json& fault) {
  return Must("POST", "/faults", fault).value("id", uint64_t{0});
}

void Hubsim::ClearFaults() {
  Must("DELETE", "/faults");
}

uint64_t Hubsim::Struck(uint64_t fault) const {
  for (const json& f : Must("GET", "/faults")) {
    if (f.at("id") == fault) return f.at("struck");
  }
  return 0;
}

void Hubsim::Disconnect(const std::string& id, bool reset) {
  json body = {{"reset", reset}};
  if (!id.empty()) body["device"] = id;
  Must("POST", "/disconnect", body);
}

}  // namespace holdfast::systest
