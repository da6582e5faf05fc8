#include "services/router/https_front.h"

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <set>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "lib/base/log.h"
#include "lib/mqtt/property_bag.h"

namespace holdfast::router {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::awaitable;
using Tcp = asio::ip::tcp;

namespace {

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::string_view kName = "{}";

std::vector<std::string> Segments(std::string_view path) {
  std::vector<std::string> segments;
  while (!path.empty()) {
    path.remove_prefix(1);  // '/'
    const size_t end = std::min(path.find('/'), path.size());
    segments.emplace_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return segments;
}

std::string Header(const http::request<http::string_body>& request, std::string_view name) {
  const auto it = request.find(boost::beast::string_view(name.data(), name.size()));
  return it == request.end() ? std::string() : std::string(it->value());
}

std::vector<std::string> CertificateChain(SSL* ssl) {
  std::vector<std::string> chain;
  const auto add = [&chain](X509* certificate) {
    unsigned char* der = nullptr;
    const int size = ::i2d_X509(certificate, &der);
    if (size <= 0) return;
    chain.emplace_back(reinterpret_cast<char*>(der), static_cast<size_t>(size));
    ::OPENSSL_free(der);
  };
  // On the server's side the chain is without the leaf.
  if (X509* const leaf = ::SSL_get1_peer_certificate(ssl); leaf != nullptr) {
    add(leaf);
    ::X509_free(leaf);
  }
  if (STACK_OF(X509)* const others = ::SSL_get_peer_cert_chain(ssl); others != nullptr) {
    for (int i = 0; i < sk_X509_num(others); ++i) add(sk_X509_value(others, i));
  }
  return chain;
}

void Wipe(bool is_secret, std::string* body) {
  if (is_secret) ::OPENSSL_cleanse(body->data(), body->size());
}

// The context is ours to share, and Asio's to free: it gets a reference of its own.
asio::ssl::context Share(ssl_ctx_st* context) {
  ::SSL_CTX_up_ref(context);
  return asio::ssl::context(context);
}

}  // namespace

// The connections that are open, so that Stop() can close them.
struct HttpsFront::Shared {
  absl::Mutex mutex;
  std::set<std::shared_ptr<Connection>> connections ABSL_GUARDED_BY(mutex);
  bool stopped ABSL_GUARDED_BY(mutex) = false;
};

// One connection; its coroutine keeps it alive. On its thread only, but for Close().
class HttpsFront::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(const HttpsFront* front, IoThread* thread, Tcp::socket socket, std::unique_ptr<ConnectionLimit::Slot> slot,
             std::shared_ptr<const TlsContext> tls)
      : front_(*front),
        thread_(thread),
        slot_(std::move(slot)),
        tls_(std::move(tls)),
        context_(Share(tls_->get())),
        stream_(std::move(socket), context_),
        timer_(thread->context()),
        answered_(thread->context()) {
    boost::system::error_code error;
    const auto peer = stream_.lowest_layer().remote_endpoint(error);
    if (!error) peer_ = peer.address().to_string() + ":" + std::to_string(peer.port());
  }
  ~Connection() {
    if (response_.has_value()) Wipe(response_->is_secret, &response_->body);
  }

  awaitable<void> Run() {
    SetTimer(kHttpHandshakeTimeout);
    const auto [failed] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kAwait);
    if (failed) {
      spdlog::debug("https handshake failed peer={} reason=\"{}\"", peer_, failed.message());
      co_return;
    }
    chain_ = CertificateChain(stream_.native_handle());
    while (co_await ServeOne()) {
    }
    SetTimer(kHttpIdleTimeout);
    co_await stream_.async_shutdown(kAwait);
  }

  void Close() {
    thread_->Post([self = shared_from_this()] {
      self->closed_ = true;
      self->answered_.cancel();
      self->timer_.cancel();
      boost::system::error_code ignored;
      self->stream_.lowest_layer().close(ignored);
    });
  }

 private:
  void SetTimer(absl::Duration timeout) {
    timer_.expires_after(absl::ToChronoNanoseconds(timeout));
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || self == nullptr) return;
      boost::system::error_code ignored;
      self->stream_.lowest_layer().close(ignored);
    });
  }

  // One request and its answer. False: it was the last one.
  awaitable<bool> ServeOne() {
    http::request_parser<http::string_body> parser;
    parser.header_limit(kHttpHeaderBytesMax);
    parser.body_limit(kHttpBodyBytesMax);
    SetTimer(kHttpIdleTimeout);
    const auto [header_error, header_bytes] = co_await http::async_read_header(stream_, buffer_, parser, kAwait);
    if (header_error) co_return co_await Refuse(header_error);
    SetTimer(kHttpRequestTimeout);
    const auto [body_error, body_bytes] = co_await http::async_read(stream_, buffer_, parser, kAwait);
    if (body_error) co_return co_await Refuse(body_error);
    timer_.cancel();
    const bool keep_alive = parser.get().keep_alive();
    HttpResponse response = co_await Handle(parser.release());
    co_return co_await Write(std::move(response), keep_alive);
  }

  awaitable<bool> Refuse(const boost::system::error_code& error) {
    int status = 0;
    if (error == http::error::header_limit) status = 431;
    if (error == http::error::body_limit) status = 413;
    const bool malformed = status == 0 && error.category() == http::make_error_code(http::error::bad_method).category();
    if (malformed && error != http::error::end_of_stream && error != http::error::partial_message) status = 400;
    if (status != 0) co_await Write(HttpError(status, error.message()), /*keep_alive=*/false);
    co_return false;
  }

  awaitable<HttpResponse> Handle(http::request<http::string_body> request) {
    const std::string target(request.target());
    const size_t question = std::min(target.find('?'), target.size());
    HttpRequest in{.method = std::string(request.method_string()),
                   .query = question < target.size() ? target.substr(question + 1) : "",
                   .peer = peer_,
                   .certificate_chain = chain_,
                   .authorization = Header(request, "Authorization"),
                   .caller = Header(request, "x-ms-edge-moduleId")};
    int status = 0;
    const Handler* const handler = front_.Find(in.method, target.substr(0, question), &in.names, &status);
    if (handler == nullptr) {
      co_return HttpError(status, status == 405 ? "this path is not served with that method" : "there is no such path");
    }
    in.body = std::move(request.body());
    response_.reset();
    const uint64_t number = ++number_;
    answered_.expires_at(asio::steady_timer::time_point::max());
    (*handler)(std::move(in), [self = shared_from_this(), number](HttpResponse response) {
      // Held: what may be secret is not to be copied.
      self->thread_->Post([self, number, held = std::make_shared<HttpResponse>(std::move(response))] {
        if (self->number_ != number) return Wipe(held->is_secret, &held->body);
        self->response_ = std::move(*held);
        self->answered_.cancel();
      });
    });
    while (!response_.has_value() && !closed_) co_await answered_.async_wait(kAwait);
    ++number_;
    co_return response_.has_value() ? *std::move(response_) : HttpError(503, "router is stopping");
  }

  awaitable<bool> Write(HttpResponse response, bool keep_alive) {
    if (closed_) {
      Wipe(response.is_secret, &response.body);
      co_return false;
    }
    http::response<http::string_body> out(static_cast<http::status>(response.status), 11);
    out.set(http::field::server, "holdfast");
    if (!response.body.empty()) out.set(http::field::content_type, "application/json; charset=utf-8");
    if (response.retry_after > absl::ZeroDuration()) {
      out.set(http::field::retry_after, std::to_string(absl::ToInt64Seconds(response.retry_after)));
    }
    out.keep_alive(keep_alive);
    out.body() = std::move(response.body);
    out.prepare_payload();
    SetTimer(kHttpRequestTimeout);
    const auto [error, bytes] = co_await http::async_write(stream_, out, kAwait);
    Wipe(response.is_secret, &out.body());
    timer_.cancel();
    co_return !error && keep_alive;
  }

  const HttpsFront& front_;
  IoThread* const thread_;
  const std::unique_ptr<ConnectionLimit::Slot> slot_;
  const std::shared_ptr<const TlsContext> tls_;
  asio::ssl::context context_;
  asio::ssl::stream<Tcp::socket> stream_;
  asio::steady_timer timer_;
  // Never expires: cancelled when there is an answer.
  asio::steady_timer answered_;
  boost::beast::flat_buffer buffer_;
  std::vector<std::string> chain_;
  std::string peer_;
  std::optional<HttpResponse> response_;
  uint64_t number_ = 0;
  bool closed_ = false;
};

HttpsFront::HttpsFront() : shared_(std::make_shared<Shared>()) {}

HttpsFront::~HttpsFront() {
  Stop();
}

void HttpsFront::Add(std::string method, std::string_view pattern, Handler handler) {
  endpoints_.push_back({.method = std::move(method), .segments = Segments(pattern), .handler = std::move(handler)});
}

const HttpsFront::Handler* HttpsFront::Find(std::string_view method, std::string_view path,
                                            std::vector<std::string>* names, int* status) const {
  *status = 404;
  if (path.empty() || path.front() != '/') return nullptr;
  const std::vector<std::string> segments = Segments(path);
  for (const Endpoint& endpoint : endpoints_) {
    if (endpoint.segments.size() != segments.size()) continue;
    names->clear();
    bool matches = true;
    std::string scratch;
    for (size_t i = 0; i < segments.size() && matches; ++i) {
      const std::string decoded(mqtt::PercentDecode(segments[i], &scratch));
      if (endpoint.segments[i] == kName) {
        names->push_back(decoded);
        matches = !decoded.empty();
      } else {
        matches = decoded == endpoint.segments[i];
      }
    }
    if (!matches) continue;
    if (endpoint.method == method) return &endpoint.handler;
    *status = 405;
  }
  return nullptr;
}

void HttpsFront::Serve(IoThread* thread, Tcp::socket socket, std::unique_ptr<ConnectionLimit::Slot> slot,
                       std::shared_ptr<const TlsContext> tls) {
  if (tls == nullptr) return;
  const auto connection =
      std::make_shared<Connection>(this, thread, std::move(socket), std::move(slot), std::move(tls));
  {
    absl::MutexLock lock(&shared_->mutex);
    if (shared_->stopped) return;
    shared_->connections.insert(connection);
  }
  asio::co_spawn(
      thread->context(), [connection]() -> awaitable<void> { co_await connection->Run(); },
      [shared = shared_, connection](std::exception_ptr) {
        absl::MutexLock lock(&shared->mutex);
        shared->connections.erase(connection);
      });
}

void HttpsFront::Stop() {
  std::set<std::shared_ptr<Connection>> connections;
  {
    absl::MutexLock lock(&shared_->mutex);
    shared_->stopped = true;
    connections.swap(shared_->connections);
  }
  for (const auto& connection : connections) connection->Close();
}

}  // namespace holdfast::router
