#include "tests/hubsim/http_server.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <nlohmann/json.hpp>
#include <optional>

#include "lib/base/log.h"
#include "lib/mqtt/property_bag.h"

namespace holdfast::hubsim {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr auto kIdleTimeout = std::chrono::seconds(60);

std::string Decode(std::string_view text) {
  std::string scratch;
  return std::string(mqtt::PercentDecode(text, &scratch));
}

// False: badly escaped.
bool SplitTarget(std::string_view target, HttpRequest* out) {
  for (size_t i = 0; i < target.size(); ++i) {
    if (target[i] == '%' && (i + 2 >= target.size() || !std::isxdigit(static_cast<unsigned char>(target[i + 1])) ||
                             !std::isxdigit(static_cast<unsigned char>(target[i + 2])))) {
      return false;
    }
  }
  const size_t question = std::min(target.find('?'), target.size());
  out->path = target.substr(0, question);
  std::string_view path = out->path;
  while (path.starts_with('/')) {
    path.remove_prefix(1);
    const size_t end = std::min(path.find('/'), path.size());
    if (end > 0) out->parts.push_back(Decode(path.substr(0, end)));
    path.remove_prefix(end);
  }
  std::string_view query = target.substr(std::min(question + 1, target.size()));
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    const size_t equals = std::min(pair.find('='), pair.size());
    out->query[Decode(pair.substr(0, equals))] = Decode(pair.substr(std::min(equals + 1, pair.size())));
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return true;
}

}  // namespace

HttpResponse ErrorResponse(int status, std::string_view message) {
  HttpResponse response;
  response.status = status;
  response.body = nlohmann::json{{"Message", message}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return response;
}

// One connection, one request after the other. Its coroutine keeps it alive.
class HttpServer::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, asio::ssl::context* tls, const Handler& handler)
      : stream_(std::move(socket)), handler_(handler) {
    if (tls != nullptr) tls_.emplace(stream_, *tls);
  }

  awaitable<void> Run() {
    stream_.expires_after(kIdleTimeout);
    if (tls_) {
      const auto [error] = co_await tls_->async_handshake(asio::ssl::stream_base::server, kAwait);
      if (error) co_return;
      co_await Serve(*tls_);
    } else {
      co_await Serve(stream_);
    }
  }

  void Close(bool reset) {
    if (reset) MakeCloseReset(stream_.socket());
    stream_.close();
  }

 private:
  template <typename Stream>
  awaitable<void> Serve(Stream& stream) {
    while (true) {
      stream_.expires_after(kIdleTimeout);
      http::request_parser<http::string_body> parser;
      parser.body_limit(kHttpBodyBytesMax);
      const auto [error, size] = co_await http::async_read(stream, buffer_, parser, kAwait);
      if (error) co_return;
      // A handler may take its time: a method waits for its device, a fault delays.
      stream_.expires_never();
      const auto& message = parser.get();
      HttpRequest request;
      HttpResponse response;
      request.method = std::string(message.method_string());
      request.authorization = std::string(message[http::field::authorization]);
      request.if_match = std::string(message[http::field::if_match]);
      request.body = message.body();
      if (SplitTarget(std::string_view(message.target().data(), message.target().size()), &request)) {
        response = co_await handler_(request);
      } else {
        response = ErrorResponse(400, "the request's target is badly escaped");
      }
      const bool keep_alive = message.keep_alive();
      bool ok = false;
      if (response.more) {
        ok = co_await WriteStream(stream, message.version(), response);
      } else {
        ok = co_await Write(stream, message.version(), keep_alive, response);
      }
      if (!ok || !keep_alive) break;
    }
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  }

  template <typename Message>
  static void Fill(const HttpResponse& response, Message* message) {
    message->result(static_cast<unsigned>(response.status));
    if (response.status != 204) message->set(http::field::content_type, response.content_type);
    for (const auto& [name, value] : response.headers) message->set(name, value);
  }

  template <typename Stream>
  awaitable<bool> Write(Stream& stream, unsigned version, bool keep_alive, HttpResponse& response) {
    http::response<http::string_body> message;
    message.version(version);
    Fill(response, &message);
    message.keep_alive(keep_alive);
    message.body() = std::move(response.body);
    message.prepare_payload();
    stream_.expires_after(kIdleTimeout);
    const auto [error, size] = co_await http::async_write(stream, message, kAwait);
    co_return !error;
  }

  template <typename Stream>
  awaitable<bool> WriteStream(Stream& stream, unsigned version, HttpResponse& response) {
    http::response<http::empty_body> message;
    message.version(version);
    Fill(response, &message);
    message.chunked(true);
    http::response_serializer<http::empty_body> serializer{message};
    {
      const auto [error, size] = co_await http::async_write_header(stream, serializer, kAwait);
      if (error) co_return false;
    }
    std::string chunk;
    while (true) {
      chunk.clear();
      const bool more = co_await response.more(&chunk);
      if (!more) break;
      if (chunk.empty()) continue;
      stream_.expires_after(kIdleTimeout);
      const auto [error, size] = co_await asio::async_write(stream, http::make_chunk(asio::buffer(chunk)), kAwait);
      if (error) co_return false;
      stream_.expires_never();
    }
    const auto [error, size] = co_await asio::async_write(stream, http::make_chunk_last(), kAwait);
    co_return !error;
  }

  beast::tcp_stream stream_;
  std::optional<asio::ssl::stream<beast::tcp_stream&>> tls_;
  const Handler& handler_;
  beast::flat_buffer buffer_;
};

HttpServer::HttpServer(asio::io_context& io, asio::ssl::context* tls, Handler handler)
    : io_(io),
      tls_(tls),
      handler_(std::move(handler)),
      listener_(io, [this](tcp::socket socket) { OnSocket(std::move(socket)); }) {}

HttpServer::~HttpServer() = default;

void HttpServer::OnSocket(tcp::socket socket) {
  std::erase_if(connections_, [](const auto& weak) { return weak.expired(); });
  if (connections_.size() + silent_.size() >= kHttpConnectionsMax) return;
  if (hanging_) {
    silent_.push_back(std::move(socket));
    return;
  }
  auto connection = std::make_shared<Connection>(std::move(socket), tls_, handler_);
  connections_.push_back(connection);
  asio::co_spawn(
      io_, [connection] { return connection->Run(); }, asio::detached);
}

void HttpServer::SetRefusing(bool refusing) {
  if (!refusing) return listener_.Reopen();
  listener_.Close();
  for (const auto& weak : connections_) {
    if (const auto connection = weak.lock()) connection->Close(true);
  }
}

void HttpServer::SetHanging(bool hanging) {
  hanging_ = hanging;
  // Who waited in vain has to come again.
  if (!hanging) silent_.clear();
}

void HttpServer::Stop() {
  listener_.Close();
  silent_.clear();
  for (const auto& weak : connections_) {
    if (const auto connection = weak.lock()) connection->Close(false);
  }
}

}  // namespace holdfast::hubsim
