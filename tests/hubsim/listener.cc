#include "tests/hubsim/listener.h"

#include <fmt/format.h>

#include "lib/base/log.h"

namespace holdfast::hubsim {

using boost::asio::ip::tcp;
using boost::system::error_code;

absl::Status Listener::Open(const std::string& address, uint16_t port) {
  error_code error;
  const auto ip = boost::asio::ip::make_address(address, error);
  if (error) return absl::InvalidArgumentError(fmt::format("{} is not an IP address", address));
  endpoint_ = tcp::endpoint(ip, port);
  error = Listen();
  if (error) return absl::UnavailableError(fmt::format("port {} of {}: {}", port, address, error.message()));
  endpoint_ = acceptor_->local_endpoint(error);
  return absl::OkStatus();
}

error_code Listener::Listen() {
  error_code error;
  ++opened_;
  acceptor_.emplace(io_);
  acceptor_->open(endpoint_.protocol(), error);
  if (!error) acceptor_->set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_->bind(endpoint_, error);
  if (!error) acceptor_->listen(boost::asio::socket_base::max_listen_connections, error);
  if (!error) Accept();
  return error;
}

void Listener::Accept() {
  acceptor_->async_accept([this, opened = opened_](const error_code& error, tcp::socket socket) {
    // Closed, or opened anew, since then.
    if (error == boost::asio::error::operation_aborted || !acceptor_ || opened != opened_) return;
    if (!error) {
      error_code ignored;
      socket.set_option(tcp::no_delay(true), ignored);
      on_socket_(std::move(socket));
    } else {
      spdlog::warn("accept failed port={} error={}", port(), error.message());
    }
    if (acceptor_ && opened == opened_) Accept();
  });
}

void Listener::Close() {
  acceptor_.reset();
}

void Listener::Reopen() {
  if (acceptor_) return;
  if (const error_code error = Listen()) spdlog::error("port {} can't be opened again: {}", port(), error.message());
}

void MakeCloseReset(tcp::socket& socket) {
  error_code ignored;
  socket.set_option(boost::asio::socket_base::linger(true, 0), ignored);
}

}  // namespace holdfast::hubsim
