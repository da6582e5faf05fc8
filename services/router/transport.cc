#include "services/router/transport.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace holdfast::router {

namespace asio = boost::asio;

Transport::Transport(asio::ip::tcp::socket socket, ssl_ctx_st* tls)
    : socket_(std::make_unique<asio::ip::tcp::socket>(std::move(socket))) {
  boost::system::error_code error;
  const auto endpoint = socket_->remote_endpoint(error);
  if (error) {
    peer_ = "unknown";
  } else {
    const std::string address = endpoint.address().to_string();
    peer_ = endpoint.address().is_v6() ? fmt::format("[{}]:{}", address, endpoint.port())
                                       : fmt::format("{}:{}", address, endpoint.port());
  }
  socket_->non_blocking(true, error);
  socket_->set_option(asio::ip::tcp::no_delay(true), error);
  socket_->set_option(asio::socket_base::keep_alive(true), error);
  if (tls != nullptr) {
    ssl_ = SSL_new(tls);
    SSL_set_fd(ssl_, socket_->native_handle());
    SSL_set_accept_state(ssl_);
  }
}

Transport::~Transport() {
  SSL_free(ssl_);
}

Transport::Result Transport::FromErrno() {
  if (errno == EAGAIN || errno == EWOULDBLOCK) return {State::kWantRead, 0};
  error_ = std::strerror(errno);
  return {State::kError, 0};
}

Transport::Result Transport::FromSsl(int result) {
  const int saved_errno = errno;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      return {State::kWantRead, 0};
    case SSL_ERROR_WANT_WRITE:
      return {State::kWantWrite, 0};
    case SSL_ERROR_ZERO_RETURN:
      return {State::kClosed, 0};
    case SSL_ERROR_SYSCALL:
      error_ = saved_errno == 0 ? "connection closed by peer" : std::strerror(saved_errno);
      break;
    default: {
      char text[256];
      ERR_error_string_n(ERR_peek_last_error(), text, sizeof text);
      error_ = text;
    }
  }
  ERR_clear_error();
  return {State::kError, 0};
}

Transport::Result Transport::Handshake() {
  if (ssl_ == nullptr) return {State::kOk, 0};
  ERR_clear_error();
  errno = 0;
  const int result = SSL_do_handshake(ssl_);
  return result == 1 ? Result{State::kOk, 0} : FromSsl(result);
}

Transport::Result Transport::Read(char* out, size_t size) {
  if (ssl_ == nullptr) {
    const ssize_t n = ::recv(socket_->native_handle(), out, size, 0);
    more_ = n > 0 && static_cast<size_t>(n) == size;
    if (n > 0) return {State::kOk, static_cast<size_t>(n)};
    return n == 0 ? Result{State::kClosed, 0} : FromErrno();
  }
  // One record a call: several of them make a batch.
  size_t total = 0;
  while (total < size) {
    ERR_clear_error();
    errno = 0;
    const int n = SSL_read(ssl_, out + total, static_cast<int>(std::min<size_t>(size - total, INT32_MAX)));
    if (n <= 0) {
      const Result result = FromSsl(n);
      more_ = total > 0 && (result.state == State::kClosed || result.state == State::kError);
      // What was read first; the next call finds the same end again.
      return total > 0 ? Result{State::kOk, total} : result;
    }
    total += static_cast<size_t>(n);
  }
  more_ = true;
  return {State::kOk, total};
}

Transport::Result Transport::Write(const char* data, size_t size) {
  if (ssl_ == nullptr) {
    const ssize_t n = ::send(socket_->native_handle(), data, size, MSG_NOSIGNAL);
    if (n >= 0) return {State::kOk, static_cast<size_t>(n)};
    Result result = FromErrno();
    if (result.state == State::kWantRead) result.state = State::kWantWrite;
    return result;
  }
  ERR_clear_error();
  errno = 0;
  const int n = SSL_write(ssl_, data, static_cast<int>(std::min<size_t>(size, INT32_MAX)));
  return n > 0 ? Result{State::kOk, static_cast<size_t>(n)} : FromSsl(n);
}

void Transport::ShutdownSend() {
  if (ssl_ != nullptr && SSL_is_init_finished(ssl_) && error_.empty()) {
    SSL_shutdown(ssl_);
    ERR_clear_error();
  }
  boost::system::error_code ignored;
  socket_->shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

void Transport::Close() {
  boost::system::error_code ignored;
  socket_->close(ignored);
}

bool Transport::MoveTo(asio::io_context& context) {
  if (&socket_->get_executor().context() == &context) return true;
  boost::system::error_code error;
  const auto protocol = socket_->local_endpoint(error).protocol();
  if (error) return false;
  const int fd = socket_->release(error);
  if (error) return false;
  auto moved = std::make_unique<asio::ip::tcp::socket>(context);
  moved->assign(protocol, fd, error);
  if (error) {
    ::close(fd);
    return false;
  }
  moved->non_blocking(true, error);
  socket_ = std::move(moved);
  return true;
}

std::vector<std::string> Transport::CertificateChain() const {
  std::vector<std::string> chain;
  if (ssl_ == nullptr) return chain;
  const auto add = [&chain](X509* certificate) {
    unsigned char* der = nullptr;
    const int size = i2d_X509(certificate, &der);
    if (size > 0) chain.emplace_back(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
    OPENSSL_free(der);
  };
  // On the server's side the peer's chain does not hold the leaf.
  if (X509* leaf = SSL_get0_peer_certificate(ssl_); leaf != nullptr) add(leaf);
  STACK_OF(X509)* const rest = SSL_get_peer_cert_chain(ssl_);
  for (int i = 0; rest != nullptr && i < sk_X509_num(rest); ++i) add(sk_X509_value(rest, i));
  return chain;
}

}  // namespace holdfast::router
