// HTTP over TLS for what clients and child gateways ask for by REST (IoT Hub contract: method invocation, device
// scope).
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "services/router/connection.h"
#include "services/router/http_message.h"
#include "services/router/io_thread.h"
#include "services/router/server_certificate.h"

namespace holdfast::router {

// Limits of a request; beyond them it is answered with 431 or 413 and the connection closes.
inline constexpr size_t kHttpHeaderBytesMax = 16 * 1024;
inline constexpr size_t kHttpBodyBytesMax = 512 * 1024;
// TLS handshake; a request, from its first byte; silence between two requests.
inline constexpr absl::Duration kHttpHandshakeTimeout = absl::Seconds(30);
inline constexpr absl::Duration kHttpRequestTimeout = absl::Seconds(30);
inline constexpr absl::Duration kHttpIdleTimeout = absl::Seconds(60);

// Serves connections that a Listener accepted, each a coroutine on its thread. HTTP/1.1 (RFC 9112), keep-alive. An
// unknown path is 404, a known one with another method 405. Thread-safe once it serves.
class HttpsFront {
 public:
  // Exactly once, on any thread; may outlive the connection.
  using Respond = std::function<void(HttpResponse)>;
  // On the connection's thread; must not block.
  using Handler = std::function<void(HttpRequest, Respond)>;

  HttpsFront();
  ~HttpsFront();

  // Before the first Serve. `pattern`: "/twins/{}/methods"; {} stands for one segment.
  void Add(std::string method, std::string_view pattern, Handler handler);

  void Serve(IoThread* thread, boost::asio::ip::tcp::socket socket, std::unique_ptr<ConnectionLimit::Slot> slot,
             std::shared_ptr<const TlsContext> tls);
  // Closes all connections. What is being answered gets no answer.
  void Stop();

  // The endpoint of a request, or 404 or 405 in *status. For tests.
  const Handler* Find(std::string_view method, std::string_view path, std::vector<std::string>* names,
                      int* status) const;

 private:
  class Connection;
  struct Endpoint {
    std::string method;
    std::vector<std::string> segments;
    Handler handler;
  };
  struct Shared;

  std::vector<Endpoint> endpoints_;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace holdfast::router
