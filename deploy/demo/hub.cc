#include "deploy/demo/hub.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/time/clock.h"
#include "lib/base/status.h"

namespace holdfast::demo {
namespace {

using boost::asio::ip::tcp;

constexpr absl::Duration kStartTimeout = absl::Seconds(10);

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

bool Answers(uint16_t port) {
  boost::asio::io_context io;
  tcp::socket socket(io);
  boost::system::error_code error;
  socket.connect({boost::asio::ip::address_v4::loopback(), port}, error);
  return !error;
}

bool TakeNumber(std::string_view* text, uint64_t* number) {
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *number);
  if (error != std::errc() || end == text->data() + text->size() || *end != ' ') return false;
  text->remove_prefix(static_cast<size_t>(end - text->data()) + 1);
  return true;
}

}  // namespace

uint16_t FreePort() {
  boost::asio::io_context io;
  boost::system::error_code error;
  tcp::acceptor probe(io);
  probe.open(tcp::v4(), error);
  probe.bind({boost::asio::ip::address_v4::loopback(), 0}, error);
  return probe.local_endpoint(error).port();
}

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
  for (const absl::Time end = absl::Now() + kStartTimeout; !Answers(port_); absl::SleepFor(absl::Milliseconds(10))) {
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
  std::string_view rest = publish.payload;
  uint64_t device = 0;
  uint64_t sequence = 0;
  if (TakeNumber(&rest, &device) && TakeNumber(&rest, &sequence)) ledger_->Delivered(device, sequence);
}

}  // namespace holdfast::demo
