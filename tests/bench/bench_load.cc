// bench-load: publishes at QoS 1 over C connections with a window of W unacknowledged messages each, and measures the
// rate and the time from PUBLISH to PUBACK. One thread, one epoll set; payloads are random bytes, so that no peer gains
// by compression. Prints one JSON object. Exit code 1 if a connection failed or was lost.
#include <arpa/inet.h>
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
#include <fstream>
#include <memory>
#include <vector>

#include "lib/base/unique_fd.h"
#include "lib/mqtt/packet.h"
#include "tests/bench/histogram.h"
#include "tests/bench/stat_pipe.h"
#include "tests/system/sas.h"

namespace holdfast::bench {
namespace {

// Window positions remembered per connection; a power of two above any window.
constexpr size_t kSlots = 4096;
constexpr uint32_t kWindowMax = kSlots / 2;
constexpr size_t kReadBytes = 64 << 10;
constexpr uint16_t kKeepAliveSeconds = 600;

struct Options {
  int port = 1883;
  uint32_t connections = 10;
  uint32_t window = 64;
  uint64_t count = 0;  // messages over all connections; 0 = by time
  double seconds = 5;  // publish for so long if count is 0
  uint32_t payload = 256;
  uint64_t rate = 0;           // messages a second over all connections; 0 = as fast as the window allows
  double wait_seconds = 60;    // for connections, and for the last acknowledgements
  std::string hub_hostname;    // not empty = IoT Hub user name and SAS token
  bool keep_sessions = false;  // CleanSession 0
  std::string devices_file;    // lines "id key"; otherwise ids are load0, load1, …
};

struct Device {
  std::string id;
  std::string key;
};

struct Connection {
  UniqueFd fd;
  std::string topic;
  std::string out;
  size_t out_at = 0;
  std::string in;
  size_t in_used = 0;
  uint64_t sent = 0;  // packet identifier of message n (from 0) is n % 65535 + 1
  uint64_t acked = 0;
  std::vector<uint64_t> sent_ns = std::vector<uint64_t>(kSlots);
  bool want_write = false;
};

class Load {
 public:
  explicit Load(const Options& options) : options_(options) {}
  bool Run();
  void Print() const;

 private:
  bool LoadDevices();
  bool Connect(const Device& device, Connection* c);
  void Fill(Connection* c, uint64_t now);
  bool Flush(Connection* c);
  bool OnReadable(Connection* c);
  bool OnAck(const mqtt::Frame& frame, Connection* c, uint64_t now);
  uint64_t Allowed(uint64_t now) const;
  uint64_t Random() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_;
  }

  const Options options_;
  std::vector<Device> devices_;
  std::vector<std::unique_ptr<Connection>> connections_;
  UniqueFd epoll_;
  uint64_t random_ = 0x9e3779b97f4a7c15;
  uint64_t start_ns_ = 0;
  uint64_t connected_ns_ = 0;
  uint64_t first_ack_ns_ = 0;
  uint64_t last_ack_ns_ = 0;
  uint64_t sent_ = 0;
  uint64_t acked_ = 0;
  Histogram latency_;
};

bool Load::LoadDevices() {
  if (options_.devices_file.empty()) {
    for (uint32_t i = 0; i < options_.connections; ++i) devices_.push_back({fmt::format("load{}", i), ""});
    return true;
  }
  std::ifstream file(options_.devices_file);
  Device device;
  while (devices_.size() < options_.connections && file >> device.id >> device.key) devices_.push_back(device);
  if (devices_.size() == options_.connections) return true;
  fmt::print(stderr, "bench-load: {} holds {} devices, {} are needed\n", options_.devices_file, devices_.size(),
             options_.connections);
  return false;
}

// TCP connection and CONNECT/CONNACK, blocking; tried again until wait_seconds are over.
bool Load::Connect(const Device& device, Connection* c) {
  std::string user;
  std::string password;
  mqtt::Connect connect;
  connect.client_id = device.id;
  connect.keep_alive_seconds = kKeepAliveSeconds;
  connect.clean_session = !options_.keep_sessions;
  if (!options_.hub_hostname.empty()) {
    user = fmt::format("{}/{}/?api-version=2021-04-12", options_.hub_hostname, device.id);
    const size_t slash = std::min(device.id.find('/'), device.id.size());
    password = systest::SasToken(options_.hub_hostname, device.id.substr(0, slash), device.key, 3600,
                                 slash < device.id.size() ? device.id.substr(slash + 1) : "");
    connect.has_user_name = connect.has_password = true;
    connect.user_name = user;
    connect.password = password;
  }
  std::string packet;
  if (mqtt::AppendConnect(connect, &packet) != mqtt::Error::kOk) return false;
  const uint64_t give_up = start_ns_ + static_cast<uint64_t>(options_.wait_seconds * 1e9);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(options_.port));
  int code = -1;
  while (MonotonicNs() < give_up) {
    c->fd = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    char answer[4];
    if (::connect(c->fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
        ::send(c->fd.get(), packet.data(), packet.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(packet.size()) &&
        ::recv(c->fd.get(), answer, sizeof(answer), MSG_WAITALL) == sizeof(answer)) {
      code = answer[3];
      if (code == 0) return true;
      if (code != static_cast<int>(mqtt::ConnackCode::kServerUnavailable)) break;
    }
    ::usleep(1000);
  }
  fmt::print(stderr, "bench-load: {} can't connect to port {} (CONNACK {})\n", device.id, options_.port, code);
  return false;
}

// How many messages may have been sent by `now`.
uint64_t Load::Allowed(uint64_t now) const {
  if (options_.rate != 0) {
    const auto due =
        static_cast<uint64_t>(static_cast<double>(now - connected_ns_) / 1e9 * static_cast<double>(options_.rate)) + 1;
    return options_.count != 0 ? std::min(options_.count, due) : due;
  }
  return options_.count != 0 ? options_.count : UINT64_MAX;
}

void Load::Fill(Connection* c, uint64_t now) {
  const bool time_is_up = options_.count == 0 && static_cast<double>(now - connected_ns_) >= options_.seconds * 1e9;
  if (time_is_up) return;
  const uint64_t allowed = Allowed(now);
  while (c->sent - c->acked < options_.window && sent_ < allowed) {
    mqtt::PublishFlags flags;
    flags.packet_id = static_cast<uint16_t>(c->sent % 65'535 + 1);
    flags.qos = 1;
    const mqtt::PublishSpace space = mqtt::AppendPublishSpace(flags, c->topic.size(), options_.payload, &c->out);
    std::memcpy(space.topic, c->topic.data(), c->topic.size());
    size_t at = 0;
    for (; at + 8 <= options_.payload; at += 8) {
      const uint64_t r = Random();
      std::memcpy(space.payload + at, &r, 8);
    }
    std::memset(space.payload + at, 0, options_.payload - at);
    c->sent_ns[c->sent % kSlots] = now;
    ++c->sent;
    ++sent_;
  }
}

bool Load::Flush(Connection* c) {
  while (c->out_at < c->out.size()) {
    const ssize_t n =
        ::send(c->fd.get(), c->out.data() + c->out_at, c->out.size() - c->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (n <= 0) return false;
    c->out_at += static_cast<size_t>(n);
  }
  const bool want_write = c->out_at < c->out.size();
  if (!want_write) {
    c->out.clear();
    c->out_at = 0;
  }
  if (want_write != c->want_write) {
    epoll_event event{};
    event.events = EPOLLIN | (want_write ? uint32_t{EPOLLOUT} : 0u);
    event.data.ptr = c;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, c->fd.get(), &event);
    c->want_write = want_write;
  }
  return true;
}

bool Load::OnAck(const mqtt::Frame& frame, Connection* c, uint64_t now) {
  uint16_t id = 0;
  if (frame.type() != mqtt::PacketType::kPuback || mqtt::DecodePacketId(frame, &id) != mqtt::Error::kOk) return false;
  if (c->acked >= c->sent || id != c->acked % 65'535 + 1) {
    fmt::print(stderr, "bench-load: PUBACK {} out of order, {} expected\n", id, c->acked % 65'535 + 1);
    return false;
  }
  latency_.Add(now - c->sent_ns[c->acked % kSlots]);
  ++c->acked;
  if (acked_++ == 0) first_ack_ns_ = now;
  last_ack_ns_ = now;
  return true;
}

bool Load::OnReadable(Connection* c) {
  const ssize_t n = ::recv(c->fd.get(), c->in.data() + c->in_used, c->in.size() - c->in_used, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (n <= 0) return false;
  c->in_used += static_cast<size_t>(n);
  const uint64_t now = MonotonicNs();
  std::string_view rest(c->in.data(), c->in_used);
  while (true) {
    const mqtt::ScanResult scan = mqtt::ScanFrame(rest, kReadBytes);
    if (scan.state == mqtt::ScanResult::kNeedMore) break;
    if (scan.state == mqtt::ScanResult::kError || !OnAck(scan.frame, c, now)) return false;
    rest.remove_prefix(scan.frame.size);
  }
  std::memmove(c->in.data(), rest.data(), rest.size());
  c->in_used = rest.size();
  Fill(c, now);
  return Flush(c);
}

bool Load::Run() {
  if (!LoadDevices()) return false;
  start_ns_ = MonotonicNs();
  epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  for (const Device& device : devices_) {
    auto c = std::make_unique<Connection>();
    const size_t slash = std::min(device.id.find('/'), device.id.size());
    c->topic = slash == device.id.size() ? fmt::format("devices/{}/messages/events/", device.id)
                                         : fmt::format("devices/{}/modules/{}/messages/events/",
                                                       device.id.substr(0, slash), device.id.substr(slash + 1));
    c->in.resize(kReadBytes);
    if (!Connect(device, c.get())) return false;
    const int one = 1;
    ::setsockopt(c->fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = c.get();
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, c->fd.get(), &event);
    connections_.push_back(std::move(c));
  }
  connected_ns_ = last_ack_ns_ = MonotonicNs();
  for (auto& c : connections_) {
    Fill(c.get(), MonotonicNs());
    if (!Flush(c.get())) return false;
  }
  epoll_event events[256];
  const int tick_ms = options_.rate != 0 ? 1 : 100;
  while (true) {
    const int n = ::epoll_wait(epoll_.get(), events, 256, tick_ms);
    for (int i = 0; i < n; ++i) {
      auto* c = static_cast<Connection*>(events[i].data.ptr);
      const bool open = (events[i].events & EPOLLOUT) == 0 || Flush(c);
      if (!open || ((events[i].events & ~uint32_t{EPOLLOUT}) != 0 && !OnReadable(c))) {
        fmt::print(stderr, "bench-load: connection {} was lost after {} acknowledgements\n", c->topic, c->acked);
        return false;
      }
    }
    const uint64_t now = MonotonicNs();
    if (options_.rate != 0) {
      for (auto& c : connections_) {
        Fill(c.get(), now);
        if (!Flush(c.get())) return false;
      }
    }
    const bool sent_all = options_.count != 0 ? sent_ >= options_.count
                                              : static_cast<double>(now - connected_ns_) >= options_.seconds * 1e9;
    if (sent_all && acked_ == sent_) return true;
    if (static_cast<double>(now - last_ack_ns_) > options_.wait_seconds * 1e9) {
      fmt::print(stderr, "bench-load: no acknowledgement for {} s, {} of {} are missing\n", options_.wait_seconds,
                 sent_ - acked_, sent_);
      return false;
    }
  }
}

void Load::Print() const {
  const double seconds = static_cast<double>(last_ack_ns_ - connected_ns_) / 1e9;
  fmt::print(
      "{{\"sent\":{},\"acked\":{},\"seconds\":{:.6f},\"rate\":{:.0f},\"connections\":{},\"window\":{},\"payload\":{},"
      "\"start_ns\":{},\"connected_ns\":{},\"first_ack_ns\":{},\"last_ack_ns\":{},"
      "\"latency_us\":{{\"p50\":{:.1f},\"p90\":{:.1f},\"p99\":{:.1f},\"max\":{:.1f}}}}}\n",
      sent_, acked_, seconds, seconds > 0 ? static_cast<double>(acked_) / seconds : 0, options_.connections,
      options_.window, options_.payload, start_ns_, connected_ns_, first_ack_ns_, last_ack_ns_,
      static_cast<double>(latency_.Percentile(0.5)) / 1e3, static_cast<double>(latency_.Percentile(0.9)) / 1e3,
      static_cast<double>(latency_.Percentile(0.99)) / 1e3, static_cast<double>(latency_.max()) / 1e3);
}

}  // namespace
}  // namespace holdfast::bench

int main(int argc, char** argv) {
  holdfast::bench::Options options;
  CLI::App app{"Publishes at QoS 1 and measures rate and PUBACK latency"};
  app.add_option("--port", options.port, "port on 127.0.0.1");
  app.add_option("--connections", options.connections)->check(CLI::Range(1, 20'000));
  app.add_option("--window", options.window)->check(CLI::Range(1u, holdfast::bench::kWindowMax));
  app.add_option("--count", options.count, "messages over all connections");
  app.add_option("--seconds", options.seconds, "publish for so long, unless --count is given");
  app.add_option("--payload", options.payload)->check(CLI::Range(0, 200'000));
  app.add_option("--rate", options.rate, "messages a second over all connections, 0 = as fast as the window allows");
  app.add_option("--wait", options.wait_seconds, "seconds to wait for a connection or an acknowledgement");
  app.add_option("--hub-hostname", options.hub_hostname, "log in as IoT Hub devices do, with a SAS token");
  app.add_flag("--keep-sessions", options.keep_sessions, "CleanSession 0");
  app.add_option("--devices", options.devices_file, "file of lines \"id key\"");
  CLI11_PARSE(app, argc, argv);
  ::signal(SIGPIPE, SIG_IGN);
  holdfast::bench::Load load(options);
  const bool ok = load.Run();
  load.Print();
  return ok ? 0 : 1;
}
