#include "tests/system/tcp_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "absl/time/clock.h"
#include "tests/system/process.h"

namespace holdfast::systest {
TcpProxy::TcpProxy(int target_port) : target_port_(target_port) {
  listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size);
  ::listen(listener_.get(), 16);
  ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Run(); });
}

TcpProxy::~TcpProxy() {
  stop_ = true;
  thread_.join();
}

void TcpProxy::Accept() {
  auto pair = std::make_unique<Pair>();
  pair->client = UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (silent_) {
    pair->dead = true;
  } else {
    pair->target = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = Loopback(target_port_);
    if (::connect(pair->target.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return;
    const int one = 1;
    ::setsockopt(pair->client.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    ::setsockopt(pair->target.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  }
  pairs_.push_back(std::move(pair));
}

// False: one side is gone.
bool TcpProxy::Relay(int from, int to) {
  char buffer[64 << 10];
  const ssize_t n = ::recv(from, buffer, sizeof(buffer), MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) return false;
  ssize_t at = 0;
  while (at < n) {
    const ssize_t written = ::send(to, buffer + at, static_cast<size_t>(n - at), MSG_NOSIGNAL);
    if (written <= 0) return false;
    at += written;
  }
  return true;
}

void TcpProxy::Run() {
  while (!stop_) {
    const bool silent = silent_;
    if (cut_.exchange(false)) pairs_.clear();
    for (const auto& pair : pairs_) pair->dead = pair->dead || silent;
    if (!silent) std::erase_if(pairs_, [](const auto& pair) { return pair->dead; });
    std::vector<pollfd> polls = {{listener_.get(), POLLIN, 0}};
    for (const auto& pair : pairs_) {
      polls.push_back({pair->dead ? -1 : pair->client.get(), POLLIN, 0});
      polls.push_back({pair->dead ? -1 : pair->target.get(), POLLIN, 0});
    }
    ::poll(polls.data(), polls.size(), 5);
    if (silent_ != silent) continue;
    for (size_t i = 0; i < pairs_.size(); ++i) {
      const int client = pairs_[i]->client.get();
      const int target = pairs_[i]->target.get();
      const bool open = (polls[1 + 2 * i].revents == 0 || Relay(client, target)) &&
                        (polls[2 + 2 * i].revents == 0 || Relay(target, client));
      if (!open) pairs_[i].reset();
    }
    std::erase(pairs_, nullptr);
    if (polls[0].revents != 0) Accept();
  }
}

}  // namespace holdfast::systest
