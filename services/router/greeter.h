#pragma once

#include <functional>
#include <memory>

#include "lib/base/clock.h"
#include "lib/net/failure_limit.h"
#include "services/router/auth_client.h"
#include "services/router/connection.h"
#include "services/router/identity_watch.h"
#include "services/router/io_thread.h"
#include "services/router/log_limit.h"
#include "services/router/router_metrics.h"
#include "services/router/router_options.h"
#include "services/router/server_certificate.h"

namespace holdfast::router {

// A CONNECT holds four strings of 65,535 bytes at most, of which only the will's are ever long.
inline constexpr size_t kConnectBytesMax = 192 * 1024;

// Brings a connection from accept to its CONNECT's verdict: TLS handshake and first packet within connect_timeout,
// auth. An address from which too many have failed is not listened to (FailureLimit). A refused client gets its CONNACK
// and is closed; an accepted one goes to the thread that it belongs to. Thread-safe.
class Greeter {
 public:
  struct Parts {
    const RouterOptions& options;
    const Clock& clock;
    AuthClient& auth;
    const IdentityChanges& identities;
    HomeThreads& homes;
    RouterMetrics& metrics;
    // Gives the connection to its home thread.
    std::function<void(std::shared_ptr<AcceptedConnection>)> hand_over;
  };

  // The parts must outlive it, and it the threads.
  explicit Greeter(Parts parts);

  // Call on `thread`, to which the socket belongs. `tls` null = in the clear.
  void Greet(IoThread* thread, boost::asio::ip::tcp::socket socket, std::unique_ptr<ConnectionLimit::Slot> slot,
             std::shared_ptr<const TlsContext> tls);

 private:
  friend class Greeting;
  // False, counted and logged: too many attempts from there have failed.
  bool Allows(const boost::asio::ip::address& address);

  const Parts parts_;
  LogLimit log_limit_;
  FailureLimit failures_;
  LogLimit limited_log_limit_;
};

}  // namespace holdfast::router
