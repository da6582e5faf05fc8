#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "services/router/connection.h"
#include "services/router/io_thread.h"

namespace holdfast::router {

// A listening TCP port. Listens at once, so that a port in use is known at the start; accepts from Start() on: who
// connects before waits.
class Listener {
 public:
  // Gets each socket; it belongs to the thread that `next_thread` gave.
  using OnAccept = std::function<void(IoThread*, boost::asio::ip::tcp::socket, std::unique_ptr<ConnectionLimit::Slot>)>;

  struct Options {
    // Of the setting, for messages.
    std::string name;
    // "host:port", "[v6]:port".
    std::string address;
    // Another address is INVALID_ARGUMENT.
    bool loopback_only = false;
    // Other processes of this user may listen on the port too, if they also say so: the kernel gives each connection to
    // one of them (socket(7), SO_REUSEPORT).
    bool share_port = false;
  };

  // FAILED_PRECONDITION if the port is in use. `thread` and `limit` must outlive it; `thread` must have stopped before
  // it is destroyed.
  static absl::StatusOr<std::unique_ptr<Listener>> Create(const Options& options, IoThread* thread,
                                                          ConnectionLimit* limit);
  ~Listener();

  // Thread-safe, both.
  void Start(std::function<IoThread*()> next_thread, OnAccept on_accept);
  void Stop();

  uint16_t port() const { return port_; }

 private:
  struct State;
  Listener() = default;
  std::shared_ptr<State> state_;
  uint16_t port_ = 0;
};

}  // namespace holdfast::router
