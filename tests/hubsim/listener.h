#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"

namespace holdfast::hubsim {

// A TCP port that can be closed and opened again. Not thread-safe: one io_context, one thread.
class Listener {
 public:
  using OnSocket = std::function<void(boost::asio::ip::tcp::socket)>;

  // `io` must outlive it.
  Listener(boost::asio::io_context& io, OnSocket on_socket) : io_(io), on_socket_(std::move(on_socket)) {}

  // Port 0 = a free one, which it keeps. The error says which address.
  absl::Status Open(const std::string& address, uint16_t port);
  // Connections are refused until Reopen().
  void Close();
  void Reopen();
  uint16_t port() const { return endpoint_.port(); }

 private:
  boost::system::error_code Listen();
  void Accept();

  boost::asio::io_context& io_;
  const OnSocket on_socket_;
  boost::asio::ip::tcp::endpoint endpoint_;
  uint64_t opened_ = 0;  // how often
  std::optional<boost::asio::ip::tcp::acceptor> acceptor_;
};

// The next close sends RST instead of FIN.
void MakeCloseReset(boost::asio::ip::tcp::socket& socket);

}  // namespace holdfast::hubsim
