#include "cli/web/http_server.h"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <thread>

#include "lib/base/log.h"

namespace holdfast::web {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::awaitable;
using boost::system::error_code;
using Tcp = asio::ip::tcp;

namespace {

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr size_t kHandlerThreads = 2;
constexpr absl::Duration kAcceptAgainAfter = absl::Milliseconds(100);
// A comment, as server-sent events have it.
constexpr std::string_view kNothing = ":\n\n";

// Only what is served from here runs, is shown and is asked (Content Security Policy 3); nobody frames it, guesses its
// type, keeps it, or learns where it was.
constexpr std::pair<std::string_view, std::string_view> kHeaders[] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
     "form-action 'none'; frame-ancestors 'none'"},
    {"X-Frame-Options", "DENY"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cache-Control", "no-store"}};

beast::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

HttpResponse Error(int status, std::string_view message) {
  HttpResponse response;
  response.status = status;
  response.body = fmt::format("{}\n", message);
  response.content_type = "text/plain; charset=utf-8";
  return response;
}

template <typename Message>
void Fill(const HttpResponse& response, Message* message) {
  message->version(11);
  message->result(static_cast<unsigned>(response.status));
  message->set(http::field::server, "holdfast");
  message->set(http::field::content_type, response.content_type);
  for (const auto& [name, value] : kHeaders) message->set(View(name), View(value));
  for (const auto& [name, value] : response.headers) message->set(name, value);
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(Handler handler) : handler_(std::move(handler)), tls_(asio::ssl::context::tls_server), acceptor_(io_) {}
  ~Impl();

  absl::Status Open(const Options& options);
  void Wake() {
    asio::post(io_, [this] { WakeAll(); });
  }
  uint16_t port() const { return port_; }

 private:
  class Connection;

  absl::Status OpenTls(const Options& options);
  awaitable<void> Accept();
  void WakeAll();

  const Handler handler_;
  bool is_tls_ = false;
  asio::ssl::context tls_;
  uint16_t port_ = 0;
  asio::io_context io_{1};
  asio::thread_pool workers_{kHandlerThreads};
  Tcp::acceptor acceptor_;
  // On the thread only.
  std::vector<std::weak_ptr<Connection>> connections_;
  bool stopped_ = false;
  std::thread thread_;
};

// One connection, one request after the other; its coroutine keeps it alive. On the server's thread only.
class HttpServer::Impl::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Impl* server, Tcp::socket socket)
      : server_(server), stream_(std::move(socket)), wake_(server->io_), idle_buffer_(kHeaderBytesMax + kBodyBytesMax) {
    error_code ignored;
    peer_ = stream_.socket().remote_endpoint(ignored).address();
    if (server_->is_tls_) tls_.emplace(stream_, server_->tls_);
  }

  awaitable<void> Run() {
    if (tls_.has_value()) {
      stream_.expires_after(absl::ToChronoNanoseconds(kHandshakeTimeout));
      const auto [error] = co_await tls_->async_handshake(asio::ssl::stream_base::server, kAwait);
      if (error) co_return;
      co_await Serve(*tls_);
      stream_.expires_after(absl::ToChronoNanoseconds(kWriteTimeout));
      co_await tls_->async_shutdown(kAwait);
    } else {
      co_await Serve(stream_);
    }
    error_code ignored;
    stream_.socket().shutdown(Tcp::socket::shutdown_both, ignored);
  }

  void Wake() {
    is_woken_ = true;
    wake_.cancel();
  }

  void Close() {
    is_closed_ = true;
    wake_.cancel();
    stream_.close();
  }

 private:
  template <typename Stream>
  awaitable<void> Serve(Stream& stream) {
    bool goes_on = true;
    while (goes_on && !is_closed_) goes_on = co_await Exchange(stream);
  }

  // One request and its answer. False: it was the last.
  template <typename Stream>
  awaitable<bool> Exchange(Stream& stream) {
    parser_.emplace();
    parser_->header_limit(kHeaderBytesMax);
    parser_->body_limit(kBodyBytesMax);
    if (is_kept_alive_ && idle_buffer_.size() == 0) {
      stream_.expires_after(absl::ToChronoNanoseconds(kIdleTimeout));
      const auto [error, size] = co_await stream.async_read_some(idle_buffer_.prepare(kHeaderBytesMax / 2), kAwait);
      if (error) co_return false;
      idle_buffer_.commit(size);
    }
    stream_.expires_after(absl::ToChronoNanoseconds(kRequestTimeout));
    const auto [error, size] = co_await http::async_read(stream, idle_buffer_, *parser_, kAwait);
    if (error) {
      co_await Refuse(stream, error);
      co_return false;
    }
    is_kept_alive_ = parser_->get().keep_alive();
    co_await Handle();
    if (is_closed_) co_return false;
    if (response_->more) {
      co_await WriteStream(stream);
      co_return false;
    }
    co_return co_await Write(stream);
  }

  template <typename Stream>
  awaitable<void> Refuse(Stream& stream, const error_code& error) {
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      response_ = Error(431, "the request's header is larger than 8 KiB");
    } else if (error == http::error::body_limit) {
      response_ = Error(413, "no request has a body here");
    } else if (error.category() == http::make_error_code(http::error::bad_method).category() &&
               error != http::error::end_of_stream && error != http::error::partial_message) {
      response_ = Error(400, "this is no HTTP request");
    } else {
      co_return;
    }
    is_kept_alive_ = false;
    co_await Write(stream);
  }

  HttpRequest Request() const {
    const auto& message = parser_->get();
    const auto text = [&message](http::field field) { return std::string(message[field]); };
    const std::string target(message.target());
    const size_t question = std::min(target.find('?'), target.size());
    return {.method = std::string(message.method_string()),
            .path = target.substr(0, question),
            .query = question < target.size() ? target.substr(question + 1) : "",
            .host = text(http::field::host),
            .cookie = text(http::field::cookie),
            .authorization = text(http::field::authorization),
            .peer = peer_};
  }

  // Leaves the handler's answer in response_.
  awaitable<void> Handle() {
    response_.reset();
    asio::post(server_->workers_, [self = this->shared_from_this(), request = Request()] {
      HttpResponse response = self->server_->handler_(request);
      asio::post(self->server_->io_, [self, response = std::move(response)]() mutable {
        self->response_ = std::move(response);
        self->wake_.cancel();
      });
    });
    while (!response_.has_value() && !is_closed_) {
      wake_.expires_at(asio::steady_timer::time_point::max());
      co_await wake_.async_wait(kAwait);
    }
  }

  template <typename Stream>
  awaitable<bool> Write(Stream& stream) {
    message_ = {};
    Fill(*response_, &message_);
    message_.keep_alive(is_kept_alive_);
    message_.body() = std::move(response_->body);
    message_.prepare_payload();
    stream_.expires_after(absl::ToChronoNanoseconds(kWriteTimeout));
    const auto [error, size] = co_await http::async_write(stream, message_, kAwait);
    co_return !error && is_kept_alive_;
  }

  template <typename Stream>
  awaitable<void> WriteStream(Stream& stream) {
    message_ = {};
    Fill(*response_, &message_);
    message_.keep_alive(false);
    message_.chunked(true);
    serializer_.emplace(message_);
    stream_.expires_after(absl::ToChronoNanoseconds(kWriteTimeout));
    const auto [error, size] = co_await http::async_write_header(stream, *serializer_, kAwait);
    if (error) co_return;
    while (!is_closed_) {
      is_woken_ = false;
      std::optional<std::string> piece = response_->more();
      if (!piece.has_value()) break;
      piece_ = *std::move(piece);
      if (piece_.empty()) {
        wake_.expires_after(absl::ToChronoNanoseconds(kKeepAlive));
        stream_.expires_never();
        co_await wake_.async_wait(kAwait);
        if (is_woken_ || is_closed_) continue;
        piece_ = kNothing;
      }
      stream_.expires_after(absl::ToChronoNanoseconds(kWriteTimeout));
      const auto [write_error, written] =
          co_await asio::async_write(stream, http::make_chunk(asio::buffer(piece_)), kAwait);
      if (write_error) co_return;
    }
    if (is_closed_) co_return;
    stream_.expires_after(absl::ToChronoNanoseconds(kWriteTimeout));
    co_await asio::async_write(stream, http::make_chunk_last(), kAwait);
  }

  Impl* const server_;
  beast::tcp_stream stream_;
  std::optional<asio::ssl::stream<beast::tcp_stream&>> tls_;
  // Cancelled when the handler has answered, or a stream has something to send.
  asio::steady_timer wake_;
  beast::flat_buffer idle_buffer_;
  asio::ip::address peer_;
  // Not in coroutines' frames: GCC 12 lays those out wrongly.
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<HttpResponse> response_;
  http::response<http::string_body> message_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
  std::string piece_;
  bool is_kept_alive_ = false;
  bool is_woken_ = false;
  bool is_closed_ = false;
};

absl::Status HttpServer::Impl::OpenTls(const Options& options) {
  if (options.certificate_file.empty()) return absl::OkStatus();
  is_tls_ = true;
  error_code error;
  tls_.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                       asio::ssl::context::no_tlsv1_1 | asio::ssl::context::no_compression,
                   error);
  if (!error) tls_.use_certificate_chain_file(options.certificate_file, error);
  if (error) {
    return absl::InvalidArgumentError(
        fmt::format("{} is not usable as a certificate: {}", options.certificate_file, error.message()));
  }
  tls_.use_private_key_file(options.private_key_file, asio::ssl::context::pem, error);
  if (error) {
    return absl::InvalidArgumentError(fmt::format("{} is not usable as the key of {}: {}", options.private_key_file,
                                                  options.certificate_file, error.message()));
  }
  return absl::OkStatus();
}

absl::Status HttpServer::Impl::Open(const Options& options) {
  if (const absl::Status status = OpenTls(options); !status.ok()) return status;
  error_code error;
  acceptor_.open(options.address.protocol(), error);
  if (!error) acceptor_.set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(options.address, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    return absl::FailedPreconditionError(fmt::format("can't listen on {}:{}: {}", options.address.address().to_string(),
                                                     options.address.port(), error.message()));
  }
  port_ = acceptor_.local_endpoint(error).port();
  asio::co_spawn(io_, Accept(), asio::detached);
  thread_ = std::thread([this] { io_.run(); });
  return absl::OkStatus();
}

awaitable<void> HttpServer::Impl::Accept() {
  asio::steady_timer pause(io_);
  while (!stopped_) {
    auto [error, socket] = co_await acceptor_.async_accept(kAwait);
    if (stopped_) co_return;
    if (error) {
      // Out of descriptors, mostly; others may be closed meanwhile.
      pause.expires_after(absl::ToChronoNanoseconds(kAcceptAgainAfter));
      co_await pause.async_wait(kAwait);
      continue;
    }
    std::erase_if(connections_, [](const auto& weak) { return weak.expired(); });
    if (connections_.size() >= kConnectionsMax) continue;
    const auto connection = std::make_shared<Connection>(this, std::move(socket));
    connections_.push_back(connection);
    asio::co_spawn(
        io_, [connection]() -> awaitable<void> { co_await connection->Run(); },
        [](const std::exception_ptr& exception) {
          if (exception != nullptr) spdlog::error("a connection of the status page failed");
        });
  }
}

void HttpServer::Impl::WakeAll() {
  for (const auto& weak : connections_) {
    if (const auto connection = weak.lock()) connection->Wake();
  }
}

HttpServer::Impl::~Impl() {
  asio::post(io_, [this] {
    stopped_ = true;
    error_code ignored;
    acceptor_.close(ignored);
    for (const auto& weak : connections_) {
      if (const auto connection = weak.lock()) connection->Close();
    }
  });
  // Handlers first: their answers go to the thread, and each holds its connection.
  workers_.join();
  if (thread_.joinable()) thread_.join();
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() = default;

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Create(const Options& options, Handler handler) {
  auto impl = std::make_unique<Impl>(std::move(handler));
  if (const absl::Status status = impl->Open(options); !status.ok()) return status;
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

void HttpServer::Wake() {
  impl_->Wake();
}

uint16_t HttpServer::port() const {
  return impl_->port();
}

}  // namespace holdfast::web
