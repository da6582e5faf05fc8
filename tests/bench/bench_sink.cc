// bench-sink: an MQTT 3.1.1 server that accepts everybody, acknowledges every PUBLISH as fast as it can and counts: the
// hub that is not the bottleneck. It forwards nothing. One thread, one epoll set; acknowledgements of one read leave in
// one write.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <unordered_map>

#include "lib/base/unique_fd.h"
#include "lib/mqtt/packet.h"
#include "tests/bench/stat_pipe.h"

namespace holdfast::bench {
namespace {

constexpr size_t kReadBytes = 256 << 10;
constexpr size_t kPacketBytesMax = 1 << 20;

struct Connection {
  UniqueFd fd;
  std::string in;
  size_t in_used = 0;  // bytes of `in` that hold data
  std::string out;
};

class Sink {
 public:
  bool Listen(int port);
  int port() const { return port_; }
  void Run();

 private:
  void Accept();
  bool OnReadable(Connection* c);
  bool OnPacket(const mqtt::Frame& frame, Connection* c, uint64_t* messages);
  bool Flush(Connection* c);
  void Watch(int fd, uint32_t events, int op);

  UniqueFd listener_;
  UniqueFd epoll_;
  int port_ = 0;
  Counters counters_;
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;
};

bool Sink::Listen(int port) {
  listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int one = 1;
  ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return false;
  if (::listen(listener_.get(), 1024) != 0) return false;
  socklen_t size = sizeof(address);
  ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  Watch(listener_.get(), EPOLLIN, EPOLL_CTL_ADD);
  Watch(STDIN_FILENO, EPOLLIN, EPOLL_CTL_ADD);
  return true;
}

void Sink::Watch(int fd, uint32_t events, int op) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  ::epoll_ctl(epoll_.get(), op, fd, &event);
}

void Sink::Accept() {
  while (true) {
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) return;
    const int one = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    const int raw = fd.get();
    auto connection = std::make_unique<Connection>();
    connection->fd = std::move(fd);
    connection->in.resize(kReadBytes);
    connections_[raw] = std::move(connection);
    Watch(raw, EPOLLIN, EPOLL_CTL_ADD);
    ++counters_.connections;
  }
}

bool Sink::OnPacket(const mqtt::Frame& frame, Connection* c, uint64_t* messages) {
  switch (frame.type()) {
    case mqtt::PacketType::kPublish: {
      mqtt::Publish publish;
      if (mqtt::DecodePublish(frame, &publish) != mqtt::Error::kOk || publish.qos > 1) return false;
      ++*messages;
      if (publish.qos == 1) mqtt::AppendPuback(publish.packet_id, &c->out);
      return true;
    }
    case mqtt::PacketType::kConnect:
      mqtt::AppendConnack({}, &c->out);
      return true;
    case mqtt::PacketType::kSubscribe: {
      mqtt::Subscribe subscribe;
      if (mqtt::DecodeSubscribe(frame, &subscribe) != mqtt::Error::kOk) return false;
      mqtt::AppendSuback(subscribe.packet_id, std::string(subscribe.subscriptions.size(), '\x01'), &c->out);
      return true;
    }
    case mqtt::PacketType::kPingreq:
      mqtt::AppendPingresp(&c->out);
      return true;
    case mqtt::PacketType::kUnsubscribe: {
      mqtt::Unsubscribe unsubscribe;
      if (mqtt::DecodeUnsubscribe(frame, &unsubscribe) != mqtt::Error::kOk) return false;
      mqtt::AppendUnsuback(unsubscribe.packet_id, &c->out);
      return true;
    }
    case mqtt::PacketType::kPuback:
      return true;
    default:
      return false;  // DISCONNECT, and what no client sends
  }
}

// False: the connection is over.
bool Sink::OnReadable(Connection* c) {
  if (c->in_used == c->in.size()) c->in.resize(c->in.size() * 2);
  const ssize_t n = ::recv(c->fd.get(), c->in.data() + c->in_used, c->in.size() - c->in_used, 0);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return false;
  if (n < 0) return true;
  c->in_used += static_cast<size_t>(n);
  std::string_view rest(c->in.data(), c->in_used);
  uint64_t messages = 0;
  bool open = true;
  while (open) {
    const mqtt::ScanResult scan = mqtt::ScanFrame(rest, kPacketBytesMax);
    if (scan.state == mqtt::ScanResult::kNeedMore) break;
    open = scan.state == mqtt::ScanResult::kPacket && OnPacket(scan.frame, c, &messages);
    rest.remove_prefix(scan.frame.size);
  }
  counters_.Add(messages, MonotonicNs());
  std::memmove(c->in.data(), rest.data(), rest.size());
  c->in_used = rest.size();
  return open && Flush(c);
}

bool Sink::Flush(Connection* c) {
  while (!c->out.empty()) {
    const ssize_t n = ::send(c->fd.get(), c->out.data(), c->out.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) {
      Watch(c->fd.get(), EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
      return true;
    }
    if (n <= 0) return false;
    c->out.erase(0, static_cast<size_t>(n));
  }
  return true;
}

void Sink::Run() {
  epoll_event events[256];
  while (true) {
    const int n = ::epoll_wait(epoll_.get(), events, 256, -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[i].data.fd;
      if (fd == STDIN_FILENO) {
        if (!ServeStatPipe(&counters_)) return;
      } else if (fd == listener_.get()) {
        Accept();
      } else {
        Connection* c = connections_[fd].get();
        bool open = true;
        if (events[i].events & EPOLLOUT) {
          Watch(fd, EPOLLIN, EPOLL_CTL_MOD);
          open = Flush(c);
        }
        if (open && (events[i].events & ~EPOLLOUT)) open = OnReadable(c);
        if (!open) connections_.erase(fd);
      }
    }
  }
}

}  // namespace
}  // namespace holdfast::bench

int main(int argc, char** argv) {
  CLI::App app{"MQTT server that acknowledges everything and counts"};
  int port = 0;
  app.add_option("--port", port, "TCP port on loopback, 0 = a free one (printed)");
  CLI11_PARSE(app, argc, argv);
  ::signal(SIGPIPE, SIG_IGN);
  holdfast::bench::Sink sink;
  if (!sink.Listen(port)) {
    fmt::print(stderr, "bench-sink: port {} of 127.0.0.1: {}\n", port, std::strerror(errno));
    return 1;
  }
  fmt::print("{{\"port\":{}}}\n", sink.port());
  std::fflush(stdout);
  sink.Run();
  return 0;
}
