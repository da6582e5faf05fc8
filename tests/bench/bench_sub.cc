// bench-sub: subscribes to a filter at QoS 1, acknowledges and counts what arrives; at a gateway as a module or device.
// See stat_pipe.h for how it is asked.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>

#include "lib/base/unique_fd.h"
#include "lib/mqtt/packet.h"
#include "tests/bench/stat_pipe.h"
#include "tests/system/sas.h"

namespace holdfast::bench {
namespace {

constexpr size_t kReadBytes = 256 << 10;
constexpr uint64_t kWaitNs = 60'000'000'000;

bool SendAll(int fd, const std::string& bytes) {
  size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t n = ::send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (n <= 0) return false;
    at += static_cast<size_t>(n);
  }
  return true;
}

UniqueFd Connect(int port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return UniqueFd();
  const int one = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  return fd;
}

// Handles the whole packets in *in; false: the peer broke the protocol.
bool Consume(std::string* in, std::string* out, Counters* counters, bool* subscribed) {
  std::string_view rest(*in);
  uint64_t messages = 0;
  while (true) {
    const mqtt::ScanResult scan = mqtt::ScanFrame(rest, 1 << 20);
    if (scan.state == mqtt::ScanResult::kNeedMore) break;
    if (scan.state == mqtt::ScanResult::kError) return false;
    if (scan.frame.type() == mqtt::PacketType::kPublish) {
      mqtt::Publish publish;
      if (mqtt::DecodePublish(scan.frame, &publish) != mqtt::Error::kOk) return false;
      ++messages;
      if (publish.qos == 1) mqtt::AppendPuback(publish.packet_id, out);
    } else if (scan.frame.type() == mqtt::PacketType::kSuback) {
      *subscribed = true;
    }
    rest.remove_prefix(scan.frame.size);
  }
  counters->Add(messages, MonotonicNs());
  in->erase(0, in->size() - rest.size());
  return true;
}

struct Options {
  int port = 1883;
  std::string filter = "#";
  std::string hub_hostname;  // not empty = IoT Hub user name and SAS token
  std::string client = "bench-sub";
  std::string key;
};

// Logged in; tried again while the other side is not there yet.
UniqueFd LogIn(int port, const mqtt::Connect& connect) {
  std::string packet;
  if (mqtt::AppendConnect(connect, &packet) != mqtt::Error::kOk) return UniqueFd();
  const uint64_t give_up = MonotonicNs() + kWaitNs;
  while (MonotonicNs() < give_up) {
    UniqueFd fd = Connect(port);
    char answer[4];
    if (fd.valid() && SendAll(fd.get(), packet) &&
        ::recv(fd.get(), answer, sizeof(answer), MSG_WAITALL) == sizeof(answer)) {
      if (answer[3] == 0) return fd;
      if (answer[3] != static_cast<char>(mqtt::ConnackCode::kServerUnavailable)) break;
    }
    ::usleep(1000);
  }
  return UniqueFd();
}

int Run(const Options& options) {
  mqtt::Connect connect;
  connect.client_id = options.client;
  const std::string user = fmt::format("{}/{}/?api-version=2021-04-12", options.hub_hostname, options.client);
  std::string password;
  if (!options.hub_hostname.empty()) {
    const size_t slash = std::min(options.client.find('/'), options.client.size());
    password = systest::SasToken(options.hub_hostname, options.client.substr(0, slash), options.key, 3600,
                                 slash < options.client.size() ? options.client.substr(slash + 1) : "");
    connect.has_user_name = connect.has_password = true;
    connect.user_name = user;
    connect.password = password;
  }
  const UniqueFd fd = LogIn(options.port, connect);
  std::string out;
  mqtt::AppendSubscribe(1, {{options.filter, 1}}, &out);
  if (!fd.valid() || !SendAll(fd.get(), out)) {
    fmt::print(stderr, "bench-sub: can't log in at port {}\n", options.port);
    return 1;
  }
  Counters counters;
  std::string in;
  bool subscribed = false;
  bool announced = false;
  while (true) {
    pollfd polls[2] = {{fd.get(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    ::poll(polls, 2, -1);
    if (polls[1].revents != 0 && !ServeStatPipe(&counters)) return 0;
    if (polls[0].revents == 0) continue;
    const size_t used = in.size();
    in.resize(used + kReadBytes);
    const ssize_t n = ::recv(fd.get(), in.data() + used, kReadBytes, MSG_DONTWAIT);
    in.resize(used + static_cast<size_t>(std::max<ssize_t>(n, 0)));
    out.clear();
    if (n == 0 || !Consume(&in, &out, &counters, &subscribed) || !SendAll(fd.get(), out)) {
      fmt::print(stderr, "bench-sub: the broker closed the connection\n");
      return 1;
    }
    if (subscribed && !announced) {
      fmt::print("{{\"subscribed\":true}}\n");
      std::fflush(stdout);
      announced = true;
    }
  }
}

}  // namespace
}  // namespace holdfast::bench

int main(int argc, char** argv) {
  holdfast::bench::Options options;
  CLI::App app{"Subscribes and counts"};
  app.add_option("--port", options.port, "port on 127.0.0.1");
  app.add_option("--filter", options.filter);
  app.add_option("--client", options.client, "client id, `device` or `device/module`");
  app.add_option("--hub-hostname", options.hub_hostname, "log in as to an IoT Hub of that name");
  app.add_option("--key", options.key, "base64, of --client");
  CLI11_PARSE(app, argc, argv);
  ::signal(SIGPIPE, SIG_IGN);
  return holdfast::bench::Run(options);
}
