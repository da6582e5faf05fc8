#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>
#include <set>

#include "absl/status/status.h"

namespace holdfast::demo {

// The cable between gateway and hub: a TCP port that passes everything on to another port of this machine, and can be
// cut. All on the thread that runs `io`, except the constructor and port().
class Relay {
 public:
  // Finds a free port, which stays the relay's for its life. Closed at first.
  Relay(boost::asio::io_context& io, uint16_t target_port);
  ~Relay();

  uint16_t port() const { return port_; }
  absl::Status Open();
  // Resets what is connected and refuses what comes.
  void Cut();

 private:
  class Pair;
  void Accept();

  boost::asio::io_context& io_;
  const uint16_t target_port_;
  uint16_t port_ = 0;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::set<std::weak_ptr<Pair>, std::owner_less<std::weak_ptr<Pair>>> pairs_;
};

}  // namespace holdfast::demo
