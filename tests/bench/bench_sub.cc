// bench-sub: subscribes to a filter at QoS 1, acknowledges and counts what arrives. See stat_pipe.h for how it is
// asked.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <string>

#include "lib/base/unique_fd.h"
#include "lib/mqtt/packet.h"
#include "tests/bench/stat_pipe.h"

namespace holdfast::bench {
namespace {

constexpr size_t kReadBytes = 256 << 10;

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

int Run(int port, const std::string& filter) {
  UniqueFd fd = Connect(port);
  std::string out;
  mqtt::Connect connect;
  connect.client_id = "bench-sub";
  mqtt::AppendConnect(connect, &out);
  mqtt::AppendSubscribe(1, {{filter, 1}}, &out);
  if (!fd.valid() || !SendAll(fd.get(), out)) {
    fmt::print(stderr, "bench-sub: no broker on port {}\n", port);
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
  int port = 1883;
  std::string filter = "#";
  CLI::App app{"Subscribes and counts"};
  app.add_option("--port", port, "port on 127.0.0.1");
  app.add_option("--filter", filter);
  CLI11_PARSE(app, argc, argv);
  ::signal(SIGPIPE, SIG_IGN);
  return holdfast::bench::Run(port, filter);
}
