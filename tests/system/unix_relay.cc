#include "tests/system/unix_relay.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>

namespace holdfast::systest {
namespace {

constexpr int kLookForNewRoutesMs = 5;

sockaddr_un Address(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  return address;
}

UniqueFd NewSocket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

}  // namespace

UnixRelay::UnixRelay() : thread_([this] { Run(); }) {}

UnixRelay::~UnixRelay() {
  stop_ = true;
  thread_.join();
}

bool UnixRelay::Add(const std::string& socket, const std::string& target, const std::string& name) {
  std::filesystem::create_directories(std::filesystem::path(socket).parent_path());
  const sockaddr_un address = Address(socket);
  if (socket.size() >= sizeof address.sun_path || target.size() >= sizeof address.sun_path) return false;
  auto route = std::make_unique<Route>(Route{.listener = NewSocket(), .target = target, .name = name});
  if (::bind(route->listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return false;
  if (::listen(route->listener.get(), 64) != 0) return false;
  absl::MutexLock lock(&mutex_);
  routes_.push_back(std::move(route));
  return true;
}

std::vector<RecordedStream> UnixRelay::Recorded() const {
  absl::MutexLock lock(&mutex_);
  return recorded_;
}

void UnixRelay::Accept(const Route& route) {
  auto pair = std::make_unique<Pair>();
  pair->client = UniqueFd(::accept4(route.listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  pair->target = NewSocket();
  const sockaddr_un address = Address(route.target);
  if (::connect(pair->target.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return;
  absl::MutexLock lock(&mutex_);
  pair->recorded = recorded_.size();
  recorded_.push_back({.name = route.name + ", call", .bytes = ""});
  recorded_.push_back({.name = route.name + ", answer", .bytes = ""});
  pairs_.push_back(std::move(pair));
}

// False: one side is gone.
bool UnixRelay::Relay(int from, int to, size_t recorded) {
  char buffer[64 << 10];
  const ssize_t n = ::recv(from, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) return false;
  {
    absl::MutexLock lock(&mutex_);
    recorded_[recorded].bytes.append(buffer, static_cast<size_t>(n));
  }
  for (ssize_t at = 0; at < n;) {
    const ssize_t written = ::send(to, buffer + at, static_cast<size_t>(n - at), MSG_NOSIGNAL);
    if (written <= 0) return false;
    at += written;
  }
  return true;
}

void UnixRelay::Run() {
  while (!stop_) {
    std::vector<const Route*> routes;
    {
      absl::MutexLock lock(&mutex_);
      for (const auto& route : routes_) routes.push_back(route.get());  // never removed
    }
    std::vector<pollfd> polls;
    for (const Route* route : routes) polls.push_back({route->listener.get(), POLLIN, 0});
    for (const auto& pair : pairs_) {
      polls.push_back({pair->client.get(), POLLIN, 0});
      polls.push_back({pair->target.get(), POLLIN, 0});
    }
    ::poll(polls.data(), polls.size(), kLookForNewRoutesMs);
    for (size_t i = 0; i < pairs_.size(); ++i) {
      const int client = pairs_[i]->client.get();
      const int target = pairs_[i]->target.get();
      const pollfd* const polled = &polls[routes.size() + 2 * i];
      const bool open = (polled[0].revents == 0 || Relay(client, target, pairs_[i]->recorded)) &&
                        (polled[1].revents == 0 || Relay(target, client, pairs_[i]->recorded + 1));
      if (!open) pairs_[i].reset();
    }
    std::erase(pairs_, nullptr);
    for (size_t i = 0; i < routes.size(); ++i) {
      if (polls[i].revents != 0) Accept(*routes[i]);
    }
  }
}

std::vector<std::string> Http2Data(std::string_view bytes) {
  constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  constexpr size_t kHeaderBytes = 9;
  constexpr int kData = 0, kPadded = 0x8;
  if (bytes.starts_with(kPreface)) bytes.remove_prefix(kPreface.size());
  const auto byte = [&bytes](size_t at) { return static_cast<uint32_t>(static_cast<unsigned char>(bytes[at])); };
  std::map<uint32_t, std::string> streams;
  while (bytes.size() >= kHeaderBytes) {
    const size_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
    const uint32_t type = byte(3), flags = byte(4);
    const uint32_t stream = (byte(5) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8)) & 0x7fffffff;
    if (kHeaderBytes + size > bytes.size()) break;  // the connection was cut
    std::string_view payload = bytes.substr(kHeaderBytes, size);
    if (type == kData && (flags & kPadded) != 0 && !payload.empty()) {
      const size_t padding = static_cast<unsigned char>(payload[0]);
      payload = payload.substr(1, payload.size() - 1 - std::min(padding, payload.size() - 1));
    }
    if (type == kData) streams[stream].append(payload);
    bytes.remove_prefix(kHeaderBytes + size);
  }
  std::vector<std::string> data;
  for (auto& [stream, content] : streams) data.push_back(std::move(content));
  return data;
}

}  // namespace holdfast::systest
