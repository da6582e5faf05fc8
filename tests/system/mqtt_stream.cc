#include "tests/system/mqtt_stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "absl/time/clock.h"

namespace holdfast::systest {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kPacketBytesMax = 4 << 20;

bool Poll(int fd, short events, absl::Time until) {
  const absl::Duration left = until - absl::Now();
  pollfd p = {fd, events, 0};
  return ::poll(&p, 1,
                static_cast<int>(
                    std::max<int64_t>(0, absl::ToInt64Milliseconds(left) + (left > absl::ZeroDuration())))) > 0;
}

}  // namespace

MqttStream MqttStream::Connect(int port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return MqttStream();
  const int one = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  return MqttStream(std::move(fd));
}

bool MqttStream::Send(std::string_view bytes, absl::Duration timeout) {
  const absl::Time until = absl::Now() + timeout;
  while (!bytes.empty() && open()) {
    const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR) || !Poll(fd_.get(), POLLOUT, until)) {
      Close();
    }
  }
  return open();
}

MqttStream::Result MqttStream::Read(mqtt::Frame* frame, absl::Duration timeout) {
  const absl::Time until = absl::Now() + timeout;
  while (open()) {
    const mqtt::ScanResult scan = mqtt::ScanFrame(std::string_view(buffer_).substr(consumed_), kPacketBytesMax);
    if (scan.state == mqtt::ScanResult::kPacket) {
      *frame = scan.frame;
      consumed_ += scan.frame.size;
      return Result::kPacket;
    }
    if (scan.state == mqtt::ScanResult::kError) break;
    buffer_.erase(0, consumed_);
    consumed_ = 0;
    if (!Poll(fd_.get(), POLLIN, until)) return Result::kTimeout;
    const size_t used = buffer_.size();
    buffer_.resize(used + kReadBytes);
    const ssize_t n = ::recv(fd_.get(), buffer_.data() + used, kReadBytes, MSG_DONTWAIT);
    buffer_.resize(used + static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) break;
  }
  Close();
  return Result::kClosed;
}

std::optional<mqtt::ConnackCode> MqttStream::Login(const mqtt::Connect& connect, absl::Duration timeout) {
  std::string packet;
  if (mqtt::AppendConnect(connect, &packet) != mqtt::Error::kOk || !Send(packet)) return std::nullopt;
  mqtt::Frame frame;
  mqtt::Connack connack;
  if (Read(&frame, timeout) != Result::kPacket || frame.type() != mqtt::PacketType::kConnack ||
      mqtt::DecodeConnack(frame, &connack) != mqtt::Error::kOk) {
    return std::nullopt;
  }
  return connack.code;
}

}  // namespace holdfast::systest
