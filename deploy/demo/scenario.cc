#include "deploy/demo/scenario.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <filesystem>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/time/clock.h"
#include "cli/gateway.h"
#include "cli/wire.h"
#include "deploy/demo/mosquitto_hub.h"
#include "deploy/demo/simulated_hub.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "holdfast/uplink/v1/uplink.grpc.pb.h"
#include "lib/base/status.h"

namespace holdfast::demo {
namespace {

constexpr absl::Duration kTtyEvery = absl::Milliseconds(250);
constexpr absl::Duration kLogEvery = absl::Seconds(2);
constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr absl::Duration kQuiet = absl::Milliseconds(300);
constexpr absl::Duration kGatewayStop = absl::Seconds(20);

std::string ReadAll(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

nlohmann::json ReadJson(const std::string& path) {
  return nlohmann::json::parse(ReadAll(path), nullptr, /*allow_exceptions=*/false);
}

size_t TerminalWidth() {
  winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

std::string Thousands(uint64_t n) {
  std::string text = fmt::to_string(n);
  for (size_t i = text.size(); i > 3;) text.insert(i -= 3, ",");
  return text;
}

}  // namespace

Scenario::Scenario(ScenarioOptions options, std::function<bool()> stop_wanted)
    : options_(std::move(options)),
      stop_wanted_(std::move(stop_wanted)),
      tty_(::isatty(STDOUT_FILENO) == 1),
      start_(absl::Now()),
      ledger_(static_cast<size_t>(options_.devices)),
      work_(boost::asio::make_work_guard(io_)),
      io_thread_([this] { io_.run(); }) {}

Scenario::~Scenario() {
  OnIo([this] { devices_.clear(); });
  if (gateway_ != nullptr) (void)StopGateway();
  hub_.reset();
  work_.reset();
  io_.stop();
  io_thread_.join();
}

void Scenario::OnIo(const std::function<void()>& f) {
  std::promise<void> done;
  boost::asio::post(io_, [&] {
    f();
    done.set_value();
  });
  done.get_future().wait();
}

void Scenario::Announce(const std::string& text) {
  fmt::print("{}{:5.1f} s  {}\n", tty_ ? "\r\x1b[K" : "", absl::ToDoubleSeconds(absl::Now() - start_), text);
  std::fflush(stdout);
}

std::string Scenario::LinkState() {
  if (run_dir_.empty() || gateway_ == nullptr) return "gateway off";
  const auto status = cli::Gateway(run_dir_).Call<uplink::v1::UplinkStatus, uplink::v1::GetUplinkStatusResponse>(
      "uplink", &uplink::v1::UplinkStatus::Stub::GetUplinkStatus, uplink::v1::GetUplinkStatusRequest());
  return status.ok() ? std::string(cli::LinkStateName(status->state())) : "unknown";
}

int Scenario::ConnectedDevices() {
  int connected = 0;
  OnIo([&] {
    for (const auto& device : devices_) connected += device->connected();
  });
  return connected;
}

void Scenario::ShowLine() {
  const absl::Time now = absl::Now();
  if (now - shown_at_ < (tty_ ? kTtyEvery : kLogEvery)) return;
  const Totals t = ledger_.Count();
  const double seconds = shown_at_ == absl::InfinitePast() ? 1 : absl::ToDoubleSeconds(now - shown_at_);
  const auto rate = [&](uint64_t a, uint64_t b) {
    return Thousands(static_cast<uint64_t>(static_cast<double>(a - b) / seconds));
  };
  const std::string line =
      fmt::format("{:5.1f} s  link {:<11} stored {:>7} ({:>6}/s)  delivered {:>7} ({:>6}/s)  waiting {:>7}  devices {}",
                  absl::ToDoubleSeconds(now - start_), LinkState(), Thousands(t.acknowledged),
                  rate(t.acknowledged, shown_.acknowledged), Thousands(t.delivered),
                  rate(t.delivered, shown_.delivered), Thousands(t.lost), ConnectedDevices());
  if (tty_) {
    fmt::print("\r\x1b[K{}", line.substr(0, TerminalWidth() - 1));  // A line that wraps could not be written over.
  } else {
    fmt::print("{}\n", line);
  }
  std::fflush(stdout);
  shown_at_ = now;
  shown_ = t;
}

absl::Status Scenario::WaitFor(const std::string& what, absl::Duration timeout,
                               const std::function<bool()>& condition) {
  for (const absl::Time end = absl::Now() + timeout; !condition(); absl::SleepFor(absl::Milliseconds(20))) {
    if (stop_wanted_()) return absl::CancelledError("stopped");
    if (gateway_ != nullptr && gateway_->HasEnded()) {
      gateway_.reset();
      return absl::InternalError("the gateway ended by itself");
    }
    if (absl::Now() > end)
      return absl::DeadlineExceededError(
          fmt::format("waited {} for this in vain: {}", absl::FormatDuration(timeout), what));
    ShowLine();
  }
  return absl::OkStatus();
}

absl::Status Scenario::Pass(absl::Duration time) {
  const absl::Time end = absl::Now() + time;
  return WaitFor("time to pass", time + kPatience, [end] { return absl::Now() >= end; });
}

Hub::Waiter Scenario::Waiter() {
  return [this](const std::string& what, absl::Duration timeout, const std::function<bool()>& condition) {
    return WaitFor(what, timeout, condition);
  };
}

absl::Status Scenario::MakeHub() {
  if (options_.with_mosquitto) {
    hub_ = std::make_unique<MosquittoHub>(
        io_, [this](const std::function<void()>& f) { OnIo(f); }, options_.dir, &ledger_);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(
      hub_, SimulatedHub::Create(options_.bin_dir + "/holdfast-hubsim", options_.dir, options_.devices, &ledger_));
  return absl::OkStatus();
}

absl::Status Scenario::StartGateway() {
  const std::string out = options_.dir + "/dev.out";
  std::error_code ignored;
  std::filesystem::remove(out, ignored);
  const std::string command = fmt::format(
      "exec '{}/holdfast' --json dev --dir '{}/gw' --devices {} --upstream {} --log-level info >'{}' "
      "2>>'{}/gateway.log'",
      options_.bin_dir, options_.dir, options_.devices, hub_->Upstream(), out, options_.dir);
  ASSIGN_OR_RETURN(gateway_,
                   cli::ChildProcess::Start({"gateway", {"/bin/sh", "-c", command}, hub_->GatewayEnvironment()}));
  RETURN_IF_ERROR(WaitFor("the gateway to be up", absl::Seconds(60), [&] { return ReadAll(out).ends_with('\n'); }));
  const nlohmann::json json = ReadJson(out);
  if (!json.is_object() || !json.contains("run_dir"))
    return absl::InternalError("the gateway said something else than expected");
  run_dir_ = json.at("run_dir").get<std::string>();
  return absl::OkStatus();
}

absl::Status Scenario::StopGateway() {
  gateway_->Signal(SIGTERM);
  for (const absl::Time end = absl::Now() + kGatewayStop; !gateway_->HasEnded();
       absl::SleepFor(absl::Milliseconds(20))) {
    if (absl::Now() > end) gateway_->Signal(SIGKILL);
  }
  gateway_.reset();
  return absl::OkStatus();
}

absl::Status Scenario::KillService(const std::string& service) {
  const nlohmann::json json = ReadJson(options_.dir + "/gw/dev.json");
  if (!json.is_object()) return absl::InternalError("the gateway's dev.json can't be read");
  const pid_t pid = json.at("pids").at(service).get<pid_t>();
  Announce(fmt::format("── kill -9 {} ({}), in mid-flow", service, pid));
  ::kill(pid, SIGKILL);
  const uint64_t acknowledged = ledger_.Count().acknowledged;
  // Twice the most that could have been under way at that moment: the flow goes on.
  const uint64_t enough = acknowledged + 2 * 64 * static_cast<uint64_t>(options_.devices);
  return WaitFor(fmt::format("messages to be stored again after {} was killed", service), kPatience,
                 [&] { return ledger_.Count().acknowledged > enough && ConnectedDevices() == options_.devices; });
}

// The gateway has its devices from the hub: until it has them nobody is let in.
absl::Status Scenario::AwaitSync() {
  const std::vector<cli::DevDevice> devices = hub_->Devices();
  if (devices.empty()) return absl::OkStatus();
  int synced = 0;
  RETURN_IF_ERROR(WaitFor("the gateway to have its identities from the hub", kPatience, [&] {
    const auto identities = cli::Gateway(run_dir_).Call<auth::v1::Identities, auth::v1::ListIdentitiesResponse>(
        "auth", &auth::v1::Identities::Stub::ListIdentities, auth::v1::ListIdentitiesRequest());
    synced = identities.ok() ? identities->identities_size() : 0;
    return static_cast<size_t>(synced) >= devices.size();
  }));
  Announce(fmt::format("── synced: the hub told of {} identities, sealed in the store now", synced));
  return absl::OkStatus();
}

absl::Status Scenario::StartDevices() {
  const nlohmann::json json = ReadJson(options_.dir + "/gw/dev.json");
  if (!json.is_object()) return absl::InternalError("the gateway's dev.json can't be read");
  std::vector<cli::DevDevice> devices = hub_->Devices();
  if (devices.empty()) {
    for (const nlohmann::json& device : json.at("devices")) devices.push_back({device.at("id"), device.at("key")});
  }
  for (size_t i = 0; i < static_cast<size_t>(options_.devices); ++i) {
    devices_.push_back(
        std::make_unique<Device>(io_,
                                 Device::Options{.index = i,
                                                 .id = devices.at(i).id,
                                                 .key = devices.at(i).key,
                                                 .hub_hostname = json.at("hub_hostname").get<std::string>(),
                                                 .host = "localhost",
                                                 .port = json.at("mqtts_port").get<uint16_t>(),
                                                 .ca_file = json.at("ca_file").get<std::string>(),
                                                 .messages_per_second = options_.messages_per_second},
                                 &ledger_));
  }
  OnIo([this] {
    for (const auto& device : devices_) device->Start();
  });
  return WaitFor("all devices to connect", kPatience, [this] { return ConnectedDevices() == options_.devices; });
}

absl::Status Scenario::Drain() {
  OnIo([this] {
    for (const auto& device : devices_) device->Finish();
  });
  return WaitFor("everything to be delivered", kPatience, [this] {
    const Totals t = ledger_.Count();
    return t.acknowledged == t.sent && t.lost == 0;
  });
}

absl::Status Scenario::Run() {
  RETURN_IF_ERROR(MakeHub());
  Announce(fmt::format("── the hub ({}) and the gateway start", hub_->Name()));
  RETURN_IF_ERROR(hub_->Start(Waiter()));
  RETURN_IF_ERROR(StartGateway());
  RETURN_IF_ERROR(AwaitSync());
  RETURN_IF_ERROR(StartDevices());
  Announce(fmt::format("── online: {} devices over TLS, {} messages a second", options_.devices,
                       Thousands(static_cast<uint64_t>(options_.devices * options_.messages_per_second))));
  RETURN_IF_ERROR(WaitFor("the first message at the hub", kPatience, [this] { return ledger_.Count().delivered > 0; }));
  RETURN_IF_ERROR(Pass(options_.phase));
  RETURN_IF_ERROR(hub_->Lose(Waiter()));
  Announce("── the hub is gone; the gateway holds what devices send");
  RETURN_IF_ERROR(Pass(options_.phase));
  RETURN_IF_ERROR(KillService("store"));
  RETURN_IF_ERROR(Pass(options_.phase / 2));
  RETURN_IF_ERROR(KillService("router"));
  RETURN_IF_ERROR(Pass(options_.phase / 2));
  Announce("── the whole gateway stops and starts, still without its hub");
  RETURN_IF_ERROR(StopGateway());
  RETURN_IF_ERROR(StartGateway());
  RETURN_IF_ERROR(WaitFor("devices to authenticate and connect again", kPatience,
                          [this] { return ConnectedDevices() == options_.devices; }));
  Announce(fmt::format("── all {} devices have authenticated again, offline", options_.devices));
  RETURN_IF_ERROR(Pass(options_.phase));
  Announce(fmt::format("── the hub is back; {} messages wait", Thousands(ledger_.Count().lost)));
  RETURN_IF_ERROR(hub_->Start(Waiter()));
  RETURN_IF_ERROR(Pass(options_.phase));
  RETURN_IF_ERROR(Drain());
  RETURN_IF_ERROR(Pass(kQuiet));  // For copies that may still come.
  Announce("── drained");
  return absl::OkStatus();
}

}  // namespace holdfast::demo
