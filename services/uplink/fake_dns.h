// A DNS server for tests: answers every question for an A record with the given addresses, in their order, and every
// other question with nothing. On a free UDP port of 127.0.0.1, on a thread of its own.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/unique_fd.h"

namespace holdfast::uplink {

class FakeDns final {
 public:
  explicit FakeDns(std::vector<std::string> addresses)
      : addresses_(std::move(addresses)), socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof at;
    if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&at), size) != 0) std::abort();
    ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~FakeDns() {
    stop_ = true;
    thread_.join();
  }

  // For dns_servers.
  std::string server() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  static constexpr size_t kHeaderBytes = 12;
  static constexpr int kPollMs = 20;

  void Run() {
    std::array<char, 512> buffer;
    while (!stop_) {
      pollfd readable{socket_.get(), POLLIN, 0};
      if (::poll(&readable, 1, kPollMs) <= 0) continue;
      sockaddr_in from{};
      socklen_t size = sizeof from;
      const ssize_t n =
          ::recvfrom(socket_.get(), buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
      if (n < static_cast<ssize_t>(kHeaderBytes)) continue;
      const std::string answer = Answer({buffer.data(), static_cast<size_t>(n)});
      ::sendto(socket_.get(), answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
    }
  }

  // RFC 1035 §4.1.
  std::string Answer(std::string query) const {
    size_t end = kHeaderBytes;
    while (end < query.size() && query[end] != 0) end += static_cast<unsigned char>(query[end]) + 1u;
    if (end + 5 > query.size()) return query;
    const bool is_a = query[end + 2] == 1;
    std::string answer = query.substr(0, end + 5);
    const size_t count = is_a ? addresses_.size() : 0;
    answer[2] = static_cast<char>(0x81);  // an answer, recursion desired
    answer[3] = static_cast<char>(0x80);  // recursion available
    answer[6] = 0;
    answer[7] = static_cast<char>(count);
    answer.replace(8, 4, 4, '\0');  // no authority, nothing additional
    for (size_t i = 0; i < count; ++i) {
      in_addr address{};
      ::inet_pton(AF_INET, addresses_[i].c_str(), &address);
      answer.append("\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04", 12);  // the name asked for, A, IN, 5 s, 4 bytes
      answer.append(reinterpret_cast<const char*>(&address), sizeof address);
    }
    return answer;
  }

  const std::vector<std::string> addresses_;
  const UniqueFd socket_;
  uint16_t port_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// 127.0.0.2:port as a black hole: it takes no connection and refuses none, since the queue of its listener is full.
class BlackHole final {
 public:
  explicit BlackHole(uint16_t port) : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK + 1)}};
    const int on = 1;
    ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) std::abort();
    if (::listen(listener_.get(), 0) != 0) std::abort();
    for (UniqueFd& fd : fill_) {
      fd = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      ::connect(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at);
    }
  }

 private:
  const UniqueFd listener_;
  std::array<UniqueFd, 4> fill_;
};

}  // namespace holdfast::uplink
