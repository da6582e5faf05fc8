#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace holdfast::web {

// Limits; beyond one a request is answered with what stands there, and its connection closes.
inline constexpr size_t kConnectionsMax = 64;        // closed at once
inline constexpr size_t kHeaderBytesMax = 8 * 1024;  // 431
inline constexpr size_t kBodyBytesMax = 1024;        // 413; no request has a body that is read
inline constexpr absl::Duration kHandshakeTimeout = absl::Seconds(10);
inline constexpr absl::Duration kRequestTimeout =
    absl::Seconds(10);  // from the connection's first byte, or the answer before
inline constexpr absl::Duration kIdleTimeout = absl::Seconds(60);   // until the next request's first byte
inline constexpr absl::Duration kWriteTimeout = absl::Seconds(10);  // one answer, or one piece of a stream
// What a stream gets if there is nothing to tell, so that a peer that is gone is noticed.
inline constexpr absl::Duration kKeepAlive = absl::Seconds(15);

struct HttpRequest {
  std::string method;
  std::string path;   // without the query, as it came
  std::string query;  // behind '?', as it came
  std::string host;
  std::string cookie;
  std::string authorization;
  boost::asio::ip::address peer;
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "application/json; charset=utf-8";
  std::vector<std::pair<std::string, std::string>> headers;
  // Set: a stream instead of `body`. Asked at once, and again at each Wake(), on the server's thread: what to send
  // now, "" = nothing, nullopt = the end. Must not block.
  std::function<std::optional<std::string>()> more;
};

// HTTP/1.1 (RFC 9112), plain or over TLS 1.2 and up, keep-alive. Connections are coroutines on one thread; handlers run
// on two others and may block. Each answer carries the headers that keep a browser from doing anything with it but show
// it. Thread-safe.
class HttpServer {
 public:
  struct Options {
    boost::asio::ip::tcp::endpoint address;
    // PEM files; empty: plain HTTP.
    std::string certificate_file;
    std::string private_key_file;
  };
  using Handler = std::function<HttpResponse(const HttpRequest&)>;

  // Listens, and serves at once. FAILED_PRECONDITION if the port is in use; INVALID_ARGUMENT if the files are not a
  // chain and its key.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Create(const Options& options, Handler handler);
  // Closes all connections and waits for handlers.
  ~HttpServer();

  // The streams have something to send.
  void Wake();

  uint16_t port() const;

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace holdfast::web
