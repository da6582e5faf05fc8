// HTTP/1.1 for the hub's APIs, plain or under TLS. Beast is included by the .cc only.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "tests/hubsim/listener.h"

namespace boost::asio::ssl {
class context;
}

namespace holdfast::hubsim {

inline constexpr size_t kHttpBodyBytesMax = 4 << 20;
inline constexpr size_t kHttpConnectionsMax = 1000;

struct HttpRequest {
  std::string method;
  std::string path;                          // as sent, without the query
  std::vector<std::string> parts;            // the path's segments, decoded
  std::map<std::string, std::string> query;  // decoded; the last of equal keys
  std::string authorization;
  std::string if_match;
  std::string body;

  std::string Query(const std::string& key) const {
    const auto at = query.find(key);
    return at == query.end() ? "" : at->second;
  }
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "application/json; charset=utf-8";
  std::vector<std::pair<std::string, std::string>> headers;
  // If set: called for one chunk after the other until it gives none (false).
  std::function<boost::asio::awaitable<bool>(std::string* chunk)> more;
};

// {"Message":"…"}, the form of the hub's errors.
HttpResponse ErrorResponse(int status, std::string_view message);

// Everything happens on the io_context's one thread. Not thread-safe.
class HttpServer {
 public:
  using Handler = std::function<boost::asio::awaitable<HttpResponse>(const HttpRequest&)>;

  // `tls` null = plain. All must outlive it.
  HttpServer(boost::asio::io_context& io, boost::asio::ssl::context* tls, Handler handler);
  ~HttpServer();

  absl::Status Open(const std::string& address, uint16_t port) { return listener_.Open(address, port); }
  uint16_t port() const { return listener_.port(); }
  // Refused: no listener, and what is connected is reset. Hanging: new connections get no answer.
  void SetRefusing(bool refusing);
  void SetHanging(bool hanging);
  void Stop();

 private:
  class Connection;
  void OnSocket(boost::asio::ip::tcp::socket socket);

  boost::asio::io_context& io_;
  boost::asio::ssl::context* const tls_;
  const Handler handler_;
  bool hanging_ = false;
  std::vector<std::weak_ptr<Connection>> connections_;
  std::vector<boost::asio::ip::tcp::socket> silent_;
  Listener listener_;
};

}  // namespace holdfast::hubsim
