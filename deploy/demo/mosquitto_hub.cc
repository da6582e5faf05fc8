#include "deploy/demo/mosquitto_hub.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/time/clock.h"
#include "cli/free_ports.h"
#include "lib/base/status.h"

namespace holdfast::demo {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(10);
constexpr absl::Duration kPatience = absl::Seconds(30);

// Debian puts it where only root's PATH leads.
std::string FindMosquitto() {
  const char* path = std::getenv("PATH");
  std::istringstream folders(std::string(path == nullptr ? "" : path) + ":/usr/sbin:/usr/local/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string program = folder + "/mosquitto";
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return "";
}

uint16_t FreePort() {
  const auto ports = cli::FreePorts(1);
  return ports.ok() ? ports->front() : 0;
}

}  // namespace

absl::Status Broker::Start() {
  const std::string program = FindMosquitto();
  if (program.empty()) return absl::NotFoundError("mosquitto is not installed: apt-get install mosquitto");
  const std::string conf = dir_ + "/mosquitto.conf";
  std::ofstream(conf) << fmt::format(
      "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nmax_inflight_messages "
      "0\n",
      port_);
  const std::string command = fmt::format("exec {} -c {} >>{}/mosquitto.log 2>&1", program, conf, dir_);
  ASSIGN_OR_RETURN(process_, cli::ChildProcess::Start({"hub", {"/bin/sh", "-c", command}, {}}));
  for (const absl::Time end = absl::Now() + kStartTimeout; !cli::PortAnswers(port_);
       absl::SleepFor(absl::Milliseconds(10))) {
    if (process_->HasEnded() || absl::Now() > end) {
      return absl::UnavailableError(fmt::format("mosquitto does not start; see {}/mosquitto.log", dir_));
    }
  }
  return absl::OkStatus();
}

void Subscriber::Start() {
  mqtt::Client::Options o;
  o.host = "localhost";
  o.addresses = {"127.0.0.1"};
  o.port = port_;
  o.client_id = "application";
  subscribed_ = false;
  client_ = std::make_unique<mqtt::Client>(io_, std::move(o), this);
  client_->Start();
}

void Subscriber::Stop() {
  client_.reset();
  subscribed_ = false;
}

void Subscriber::OnConnected(bool, const std::string&) {
  mqtt::AppendSubscribe(1, {{"#", 1}}, client_->out());
  client_->Flush();
}

void Subscriber::OnSuback(const mqtt::Suback&) {
  subscribed_ = true;
}

void Subscriber::OnPublish(const mqtt::Publish& publish) {
  ledger_->DeliveredPayload(publish.payload);
}

MosquittoHub::MosquittoHub(boost::asio::io_context& io, std::function<void(const std::function<void()>&)> on_io,
                           std::string dir, Ledger* ledger)
    : on_io_(std::move(on_io)),
      ledger_(ledger),
      broker_(std::move(dir), FreePort()),
      relay_(std::make_unique<Relay>(io, broker_.port())),
      subscriber_(std::make_unique<Subscriber>(io, broker_.port(), ledger)) {}

MosquittoHub::~MosquittoHub() {
  on_io_([this] {
    subscriber_.reset();
    relay_.reset();
  });
}

absl::Status MosquittoHub::Start(const Waiter& wait) {
  RETURN_IF_ERROR(broker_.Start());
  // The application first, then the gateway: what the hub gets while nobody is subscribed it throws away, as every
  // broker does.
  on_io_([this] { subscriber_->Start(); });
  RETURN_IF_ERROR(
      wait("the application to subscribe at the hub", kPatience, [this] { return subscriber_->subscribed(); }));
  absl::Status opened;
  on_io_([&] { opened = relay_->Open(); });
  return opened;
}

absl::Status MosquittoHub::Lose(const Waiter& wait) {
  on_io_([this] { relay_->Cut(); });
  // What the hub has acknowledged is the hub's: let the application take it before the broker goes.
  RETURN_IF_ERROR(WaitUntilQuiet(*ledger_, wait));
  on_io_([this] { subscriber_->Stop(); });
  broker_.Kill();
  return absl::OkStatus();
}

std::string MosquittoHub::Upstream() const {
  return fmt::format("mqtt://127.0.0.1:{}", relay_->port());
}

}  // namespace holdfast::demo
