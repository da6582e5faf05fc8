#include "services/uplink/resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"

namespace holdfast::uplink {
namespace {

// c-ares tries each server so often, waiting so long at first.
constexpr int kTries = 3;
constexpr int kTryMilliseconds = 1'000;

void AddAddress(const sockaddr* address, std::vector<std::string>* out) {
  char text[INET6_ADDRSTRLEN];
  const void* const bytes = address->sa_family == AF_INET
                                ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(address)->sin_addr)
                                : &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  if (!inet_ntop(address->sa_family, bytes, text, sizeof text)) return;
  if (std::find(out->begin(), out->end(), text) == out->end()) out->emplace_back(text);
}

bool IsInternet(int family) {
  return family == AF_INET || family == AF_INET6;
}

absl::StatusOr<std::vector<std::string>> ResolveBySystem(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int error = getaddrinfo(host.c_str(), nullptr, &hints, &list); error != 0) {
    return absl::UnavailableError(fmt::format("can't resolve {}: {}", host, gai_strerror(error)));
  }
  const absl::Cleanup free_list = [list] { freeaddrinfo(list); };
  std::vector<std::string> addresses;
  for (const addrinfo* a = list; a; a = a->ai_next) {
    if (IsInternet(a->ai_family)) AddAddress(a->ai_addr, &addresses);
  }
  if (addresses.empty()) return absl::UnavailableError(fmt::format("{} has no address", host));
  return addresses;
}

struct Answer {
  bool done = false;
  int status = ARES_SUCCESS;
  std::vector<std::string> addresses;
};

void OnAnswer(void* arg, int status, int, ares_addrinfo* info) {
  auto* const answer = static_cast<Answer*>(arg);
  answer->done = true;
  answer->status = status;
  if (!info) return;
  for (const ares_addrinfo_node* node = info->nodes; node; node = node->ai_next) {
    if (IsInternet(node->ai_family)) AddAddress(node->ai_addr, &answer->addresses);
  }
  ares_freeaddrinfo(info);
}

// Waits for the channel's sockets, or its next timer, and lets it go on.
void RunOnce(ares_channel channel, absl::Duration limit) {
  ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
  const int mask = ares_getsock(channel, sockets, ARES_GETSOCK_MAXNUM);
  pollfd fds[ARES_GETSOCK_MAXNUM];
  nfds_t count = 0;
  for (int i = 0; i < ARES_GETSOCK_MAXNUM; ++i) {
    short events = 0;
    if (ARES_GETSOCK_READABLE(mask, i)) events |= POLLIN;
    if (ARES_GETSOCK_WRITABLE(mask, i)) events |= POLLOUT;
    if (events != 0) fds[count++] = {sockets[i], events, 0};
  }
  timeval most = absl::ToTimeval(limit);
  timeval buffer{};
  const timeval* const wait = ares_timeout(channel, &most, &buffer);
  poll(fds, count, static_cast<int>(wait->tv_sec * 1000 + wait->tv_usec / 1000 + 1));
  if (count == 0) ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  for (nfds_t i = 0; i < count; ++i) {
    ares_process_fd(channel, fds[i].revents & (POLLIN | POLLERR | POLLHUP) ? fds[i].fd : ARES_SOCKET_BAD,
                    fds[i].revents & POLLOUT ? fds[i].fd : ARES_SOCKET_BAD);
  }
}

absl::Status SetServers(ares_channel channel, const std::vector<std::string>& servers) {
  const std::string list = fmt::format("{}", fmt::join(servers, ","));
  if (const int error = ares_set_servers_ports_csv(channel, list.c_str()); error != ARES_SUCCESS) {
    return absl::InvalidArgumentError(fmt::format("dns_servers: {}: {}", list, ares_strerror(error)));
  }
  return absl::OkStatus();
}

void InitAres() {
  static std::once_flag once;
  std::call_once(once, [] { ares_library_init(ARES_LIB_INIT_ALL); });
}

absl::StatusOr<ares_channel> MakeChannel(const std::vector<std::string>& servers) {
  InitAres();
  ares_options options{};
  options.timeout = kTryMilliseconds;
  options.tries = kTries;
  ares_channel channel = nullptr;
  if (const int error = ares_init_options(&channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
      error != ARES_SUCCESS) {
    return absl::UnavailableError(fmt::format("c-ares: {}", ares_strerror(error)));
  }
  if (absl::Status status = SetServers(channel, servers); !status.ok()) {
    ares_destroy(channel);
    return status;
  }
  return channel;
}

absl::StatusOr<std::vector<std::string>> ResolveByServers(const std::string& host,
                                                          const std::vector<std::string>& servers,
                                                          absl::Duration timeout) {
  auto channel = MakeChannel(servers);
  if (!channel.ok()) return channel.status();
  Answer answer;
  const absl::Time deadline = absl::Now() + timeout;
  {
    const absl::Cleanup destroy = [&] { ares_destroy(*channel); };  // answers what is open with ARES_EDESTRUCTION
    ares_addrinfo_hints hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_family = AF_UNSPEC;
    ares_getaddrinfo(*channel, host.c_str(), nullptr, &hints, OnAnswer, &answer);
    while (!answer.done && absl::Now() < deadline) RunOnce(*channel, deadline - absl::Now());
    if (!answer.done) answer.status = ARES_ETIMEOUT;
  }
  if (answer.addresses.empty()) {
    return absl::UnavailableError(
        fmt::format("can't resolve {} by {}: {}", host, fmt::join(servers, ", "), ares_strerror(answer.status)));
  }
  return answer.addresses;
}

}  // namespace

bool IsNumericHost(const std::string& host) {
  in6_addr buffer;
  return inet_pton(AF_INET, host.c_str(), &buffer) == 1 || inet_pton(AF_INET6, host.c_str(), &buffer) == 1;
}

absl::Status CheckDnsServers(const std::vector<std::string>& dns_servers) {
  if (dns_servers.empty()) return absl::OkStatus();
  auto channel = MakeChannel(dns_servers);
  if (!channel.ok()) return channel.status();
  ares_destroy(*channel);
  return absl::OkStatus();
}

void ResolveAsync(std::string host, std::vector<std::string> dns_servers, absl::Duration timeout,
                  std::function<void(absl::StatusOr<std::vector<std::string>>)> done) {
  // Detached, since the system's resolver can't be interrupted and nobody should wait for it at the end of the process.
  std::thread([host = std::move(host), servers = std::move(dns_servers), timeout, done = std::move(done)] {
    done(servers.empty() ? ResolveBySystem(host) : ResolveByServers(host, servers, timeout));
  }).detach();
}

}  // namespace holdfast::uplink
