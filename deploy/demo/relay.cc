#include "deploy/demo/relay.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/write.hpp>

namespace holdfast::demo {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

tcp::endpoint Loopback(uint16_t port) {
  return {boost::asio::ip::address_v4::loopback(), port};
}

}  // namespace

// One connection and its other half. Lives as long as an operation of it is in flight.
class Relay::Pair : public std::enable_shared_from_this<Pair> {
 public:
  Pair(boost::asio::io_context& io, tcp::socket near) : near_(std::move(near)), far_(io) {}

  void Start(uint16_t target_port) {
    far_.async_connect(Loopback(target_port), [self = shared_from_this()](const error_code& error) {
      if (error) return self->Close();
      error_code ignored;
      self->near_.set_option(tcp::no_delay(true), ignored);
      self->far_.set_option(tcp::no_delay(true), ignored);
      self->Pump(self->near_, self->far_, self->to_far_);
      self->Pump(self->far_, self->near_, self->to_near_);
    });
  }

  void Close() {
    error_code ignored;
    near_.close(ignored);
    far_.close(ignored);
  }

 private:
  using Buffer = std::array<char, 64 << 10>;

  void Pump(tcp::socket& from, tcp::socket& to, Buffer& buffer) {
    from.async_read_some(boost::asio::buffer(buffer),
                         [self = shared_from_this(), &from, &to, &buffer](const error_code& error, size_t size) {
                           if (error) return self->Close();
                           boost::asio::async_write(to, boost::asio::buffer(buffer.data(), size),
                                                    [self, &from, &to, &buffer](const error_code& write_error, size_t) {
                                                      if (write_error) return self->Close();
                                                      self->Pump(from, to, buffer);
                                                    });
                         });
  }

  tcp::socket near_;
  tcp::socket far_;
  Buffer to_far_;
  Buffer to_near_;
};

Relay::Relay(boost::asio::io_context& io, uint16_t target_port) : io_(io), target_port_(target_port), acceptor_(io) {
  error_code ignored;
  tcp::acceptor probe(io);
  probe.open(tcp::v4(), ignored);
  probe.bind(Loopback(0), ignored);
  port_ = probe.local_endpoint(ignored).port();
}

Relay::~Relay() {
  Cut();
}

absl::Status Relay::Open() {
  error_code error;
  acceptor_.open(tcp::v4(), error);
  acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  acceptor_.bind(Loopback(port_), error);
  if (!error) acceptor_.listen(16, error);
  if (error) return absl::UnavailableError(fmt::format("can't listen on port {}: {}", port_, error.message()));
  Accept();
  return absl::OkStatus();
}

void Relay::Accept() {
  acceptor_.async_accept(io_, [this](const error_code& error, tcp::socket socket) {
    if (error) return;
    auto pair = std::make_shared<Pair>(io_, std::move(socket));
    std::erase_if(pairs_, [](const auto& p) { return p.expired(); });
    pairs_.insert(pair);
    pair->Start(target_port_);
    Accept();
  });
}

void Relay::Cut() {
  error_code ignored;
  acceptor_.close(ignored);
  for (const auto& weak : pairs_) {
    if (const auto pair = weak.lock()) pair->Close();
  }
  pairs_.clear();
}

}  // namespace holdfast::demo
