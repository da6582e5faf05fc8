#include "lib/testing/scripted_peer.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>

#include "absl/time/clock.h"
#include "lib/base/status.h"

namespace holdfast {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(10);

std::string Hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += fmt::format("{:02x} ", static_cast<uint8_t>(c));
  return out;
}

}  // namespace

ScriptedPeer::ScriptedPeer(uint16_t port) : port_(port) {
  Listen();
}

void ScriptedPeer::Listen() {
  listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port_);
  socklen_t size = sizeof address;
  if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_.get(), 16) != 0 ||
      ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    fmt::print(stderr, "the scripted peer can't listen on port {}: {}\n", port_, ErrnoStatus(errno, "bind").ToString());
    std::abort();
  }
  port_ = ntohs(address.sin_port);
}

absl::Status ScriptedPeer::WaitReadable(int fd, absl::Time deadline) {
  pollfd p{fd, POLLIN, 0};
  const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
  const int n = ::poll(&p, 1, static_cast<int>(std::max<int64_t>(left, 0)));
  if (n > 0) return absl::OkStatus();
  return absl::DeadlineExceededError("nothing arrived in time");
}

absl::Status ScriptedPeer::Accept() {
  Close();
  RETURN_IF_ERROR(WaitReadable(listener_.get(), absl::Now() + kTimeout));
  connection_ = UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  return connection_.valid() ? absl::OkStatus() : ErrnoStatus(errno, "accept");
}

bool ScriptedPeer::NobodyConnects(absl::Duration time) {
  return absl::IsDeadlineExceeded(WaitReadable(listener_.get(), absl::Now() + time));
}

absl::StatusOr<std::string> ScriptedPeer::Read(size_t size) {
  const absl::Time deadline = absl::Now() + kTimeout;
  std::string bytes(size, '\0');
  size_t have = 0;
  while (have < size) {
    if (absl::Status status = WaitReadable(connection_.get(), deadline); !status.ok()) {
      return Annotate(status, fmt::format("after {} of {} bytes ({})", have, size, Hex({bytes.data(), have})));
    }
    const ssize_t n = ::recv(connection_.get(), bytes.data() + have, size - have, 0);
    if (n <= 0) return absl::UnavailableError(fmt::format("closed after {} of {} bytes", have, size));
    have += static_cast<size_t>(n);
  }
  return bytes;
}

absl::Status ScriptedPeer::Expect(std::string_view bytes) {
  ASSIGN_OR_RETURN(const std::string got, Read(bytes.size()));
  if (got == bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("expected {}, got {}", Hex(bytes), Hex(got)));
}

absl::StatusOr<std::string> ScriptedPeer::ReadPacket() {
  ASSIGN_OR_RETURN(std::string packet, Read(2));
  size_t remaining = static_cast<uint8_t>(packet[1]) & 0x7f;
  for (int shift = 7; static_cast<uint8_t>(packet.back()) & 0x80; shift += 7) {
    ASSIGN_OR_RETURN(const std::string more, Read(1));
    packet += more;
    remaining |= static_cast<size_t>(static_cast<uint8_t>(more[0]) & 0x7f) << shift;
  }
  ASSIGN_OR_RETURN(const std::string body, Read(remaining));
  return packet + body;
}

bool ScriptedPeer::Quiet(absl::Duration time) {
  return !WaitReadable(connection_.get(), absl::Now() + time).ok();
}

absl::Status ScriptedPeer::ExpectClosed() {
  RETURN_IF_ERROR(WaitReadable(connection_.get(), absl::Now() + kTimeout));
  char byte = 0;
  const ssize_t n = ::recv(connection_.get(), &byte, 1, 0);
  return n <= 0 ? absl::OkStatus() : absl::InvalidArgumentError("bytes arrived instead of the end");
}

absl::Status ScriptedPeer::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(connection_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return ErrnoStatus(errno, "send");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

}  // namespace holdfast
