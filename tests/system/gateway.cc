#include "tests/system/gateway.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "cli/uplink_status.h"
#include "tests/system/sas.h"

namespace holdfast::systest {
namespace {

constexpr size_t kLogTailBytes = 4000;
constexpr int kTokenSeconds = 3600;

}  // namespace

Gateway::Gateway(Options options)
    : options_(std::move(options)),
      run_dir_(dir_ / "run"),
      data_dir_(options_.data_dir.empty() ? dir_ / "data" : options_.data_dir),
      config_path_(dir_ / "holdfast.toml"),
      identities_path_(dir_ / "identities.toml"),
      mqtt_port_(FreePort()),
      client_(run_dir_) {
  std::filesystem::create_directories(run_dir_);
  std::filesystem::create_directories(data_dir_);
  std::string identities;
  for (const std::string& device : options_.devices) {
    keys_[device] = NewKey();
    const size_t slash = std::min(device.find('/'), device.size());
    identities += fmt::format("[[identity]]\ndevice_id = \"{}\"\n", device.substr(0, slash));
    if (slash < device.size()) identities += fmt::format("module_id = \"{}\"\n", device.substr(slash + 1));
    identities += fmt::format("primary_key = \"{}\"\n\n", keys_[device]);
  }
  if (options_.identities) {
    WriteFile(identities_path_, identities);
    std::filesystem::permissions(identities_path_,
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  }
  WriteConfig();
  for (const std::string_view service : kServices) {
    processes_[std::string(service)] = std::make_unique<Process>(
        std::vector<std::string>{fmt::format("{}/holdfast-{}", BinDir(), service), "--config", config_path_},
        dir_ / fmt::format("{}.log", service), options_.env[std::string(service)]);
  }
}

Gateway::~Gateway() {
  KillAll();
  if (::testing::Test::HasFailure()) PrintLogs();
}

void Gateway::WriteConfig() const {
  std::map<std::string, std::string> values = {
      {"gateway.hostname", "\"localhost\""},
      {"gateway.hub_hostname", fmt::format("\"{}\"", hub_hostname())},
      {"gateway.run_dir", fmt::format("\"{}\"", run_dir_)},
      {"gateway.data_dir", fmt::format("\"{}\"", data_dir_)},
      {"auth.identities_file", fmt::format("\"{}\"", identities_path_)},
      {"router.mqtt_address", fmt::format("\"127.0.0.1:{}\"", mqtt_port_)},
      {"router.mqtts_address", "\"\""},
  };
  if (!options_.upstream.empty()) values["uplink.upstream"] = fmt::format("\"{}\"", options_.upstream);
  for (const auto& [name, value] : options_.config) values[name] = value;
  std::map<std::string, std::string> sections;
  for (const auto& [name, value] : values) {
    const size_t dot = name.find('.');
    sections[name.substr(0, dot)] += fmt::format("{} = {}\n", name.substr(dot + 1), value);
  }
  std::string text;
  for (const auto& [section, lines] : sections) text += fmt::format("[{}]\n{}\n", section, lines);
  WriteFile(config_path_, text);
}

void Gateway::Reconfigure(const std::map<std::string, std::string>& config) {
  for (const auto& [name, value] : config) options_.config[name] = value;
  WriteConfig();
}

Process& Gateway::process(std::string_view service) {
  return *processes_.find(service)->second;
}

bool Gateway::Start(absl::Duration timeout) {
  for (const std::string_view service : kServices) {
    if (!Start(service, timeout)) return false;
  }
  return true;
}

bool Gateway::Start(std::string_view service, absl::Duration timeout) {
  process(service).Start();
  return WaitUntilServing(service, timeout);
}

bool Gateway::Stop() {
  bool clean = true;
  for (auto it = kServices.rbegin(); it != kServices.rend(); ++it) {
    Process& p = process(*it);
    if (!p.running()) continue;
    clean = p.Stop() && p.exit_code() == 0 && clean;
  }
  return clean;
}

void Gateway::KillAll() {
  for (const std::string_view service : kServices) process(service).Signal(9);
  for (const std::string_view service : kServices) process(service).Kill();
}

bool Gateway::Crash(std::string_view service) {
  process(service).Kill();
  return Start(service);
}

bool Gateway::Serving(std::string_view service, std::string_view grpc_service) {
  const std::string path = fmt::format("{}/{}/0.sock", run_dir_, service);
  return client_.CheckHealth({std::string(service), "0", path}, absl::Seconds(2), grpc_service).health ==
         cli::Health::kServing;
}

// Ends early when the process has ended: it will not serve.
bool Gateway::WaitUntilServing(std::string_view service, absl::Duration timeout) {
  bool serving = false;
  WaitFor(timeout, [&] { return (serving = Serving(service)) || !process(service).running(); });
  return serving;
}

Publisher::Options Gateway::Device(const std::string& device, uint64_t count) const {
  Publisher::Options options;
  options.port = mqtt_port_;
  options.device = device;
  options.key = keys_.at(device);
  options.hub_hostname = hub_hostname();
  options.count = count;
  return options;
}

namespace {

std::optional<mqtt::ConnackCode> Login(MqttStream* stream, const std::string& device, const std::string& password,
                                       bool clean_session) {
  const std::string user = fmt::format("{}/{}/?api-version=2021-04-12", Gateway::hub_hostname(), device);
  mqtt::Connect connect;
  connect.client_id = device;
  connect.clean_session = clean_session;
  connect.keep_alive_seconds = 60;
  connect.has_user_name = true;
  connect.user_name = user;
  connect.has_password = !password.empty();
  connect.password = password;
  return stream->Login(connect);
}

}  // namespace

std::optional<mqtt::ConnackCode> Gateway::TryLogin(const std::string& device, const std::string& password) const {
  MqttStream stream = MqttStream::Connect(mqtt_port_);
  return Login(&stream, device, password, true);
}

MqttStream Gateway::LoggedIn(const std::string& device, bool clean_session, int port) const {
  MqttStream stream = MqttStream::Connect(port == 0 ? mqtt_port_ : port);
  const size_t slash = std::min(device.find('/'), device.size());
  const std::string module = slash < device.size() ? device.substr(slash + 1) : "";
  const std::string token = SasToken(hub_hostname(), device.substr(0, slash), keys_.at(device), kTokenSeconds, module);
  const auto code = Login(&stream, device, token, clean_session);
  if (code != mqtt::ConnackCode::kAccepted) stream.Close();
  return stream;
}

absl::StatusOr<uplink::v1::GetUplinkStatusResponse> Gateway::UplinkStatus() const {
  return cli::LeadingUplinkStatus(client_);
}

absl::StatusOr<router::v1::GetRouterStatusResponse> Gateway::RouterStatus() const {
  return client_.Call<router::v1::Sessions, router::v1::GetRouterStatusResponse>(
      "router", &router::v1::Sessions::Stub::GetRouterStatus, router::v1::GetRouterStatusRequest());
}

absl::StatusOr<store::v1::GetStoreStatusResponse> Gateway::StoreStatus() const {
  return client_.Call<store::v1::StoreStatus, store::v1::GetStoreStatusResponse>(
      "store", &store::v1::StoreStatus::Stub::GetStoreStatus, store::v1::GetStoreStatusRequest());
}

absl::StatusOr<store::v1::Queue> Gateway::UpstreamQueue() const {
  auto queues = client_.Call<store::v1::Queues, store::v1::ListQueuesResponse>(
      "store", &store::v1::Queues::Stub::ListQueues, store::v1::ListQueuesRequest());
  if (!queues.ok()) return queues.status();
  if (queues->queues_size() != 1)
    return absl::NotFoundError(fmt::format("{} queues, one was expected", queues->queues_size()));
  return queues->queues(0);
}

uint64_t Gateway::QueueRecords(const std::string& name) const {
  store::v1::ListQueuesRequest request;
  request.set_prefix(name);
  const auto queues = client_.Call<store::v1::Queues, store::v1::ListQueuesResponse>(
      "store", &store::v1::Queues::Stub::ListQueues, request);
  if (!queues.ok()) return 0;
  for (const store::v1::Queue& queue : queues->queues()) {
    if (queue.name() == name) return queue.records();
  }
  return 0;
}

bool Gateway::WaitUntilDrained(absl::Duration timeout) const {
  return WaitFor(timeout, [this] {
    const auto queue = UpstreamQueue();
    if (!queue.ok()) return false;
    return std::any_of(queue->consumers().begin(), queue->consumers().end(), [](const store::v1::Consumer& consumer) {
      return consumer.name() == "uplink" && consumer.lag_records() == 0;
    });
  });
}

bool Gateway::WaitForLink(uplink::v1::LinkState state, absl::Duration timeout) const {
  return WaitFor(timeout, [&] {
    const auto status = UplinkStatus();
    return status.ok() && status->state() == state;
  });
}

void Gateway::PrintLogs() const {
  for (const auto& [name, process] : processes_) {
    const std::string log = process->Log();
    const size_t from = log.size() > kLogTailBytes ? log.size() - kLogTailBytes : 0;
    fmt::print("--- {} ---\n{}\n", name, log.substr(from));
  }
}

}  // namespace holdfast::systest
