// The way up: addresses, TCP, TLS, CONNECT.
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "lib/mqtt/connection.h"

namespace holdfast::mqtt {
namespace {

constexpr int kTcpKeepAliveIdleSeconds = 30;
constexpr int kTcpKeepAliveIntervalSeconds = 10;
constexpr int kTcpKeepAliveProbes = 3;

void SetOption(int fd, int level, int name, int value) {
  ::setsockopt(fd, level, name, &value, sizeof value);
}

// Latency and half-open links. What the kernel refuses is left as it is: these are improvements, not conditions.
void TuneSocket(int fd, milliseconds user_timeout) {
  SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, kTcpKeepAliveIdleSeconds);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, kTcpKeepAliveIntervalSeconds);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPCNT, kTcpKeepAliveProbes);
  if (user_timeout.count() > 0) SetOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(user_timeout.count()));
}

absl::Status FileError(const std::string& what, const std::string& file, const error_code& error) {
  return absl::FailedPreconditionError(fmt::format("can't use {} {}: {}", what, file, error.message()));
}

absl::Status LoadTls(const TlsFiles& files, asio::ssl::context* context) {
  error_code error;
  context->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                       asio::ssl::context::no_tlsv1_1);
  context->set_verify_mode(asio::ssl::verify_peer, error);
  if (files.ca_file.empty()) {
    context->set_default_verify_paths(error);
  } else if (context->load_verify_file(files.ca_file, error); error) {
    return FileError("the CA file", files.ca_file, error);
  }
  if (!files.cert_file.empty()) {
    if (context->use_certificate_chain_file(files.cert_file, error); error) {
      return FileError("the client certificate", files.cert_file, error);
    }
    const std::string& key = files.key_file.empty() ? files.cert_file : files.key_file;
    if (context->use_private_key_file(key, asio::ssl::context::pem, error); error) {
      return FileError("the client key", key, error);
    }
  }
  return absl::OkStatus();
}

bool IsIpAddress(const std::string& text) {
  error_code error;
  asio::ip::make_address(text, error);
  return !error;
}

}  // namespace

absl::StatusOr<std::shared_ptr<TlsContext>> LoadTlsContext(const TlsFiles& files) {
  auto context = std::make_shared<TlsContext>();
  if (absl::Status status = LoadTls(files, &context->context); !status.ok()) return status;
  return context;
}

absl::Status CheckTlsFiles(const TlsFiles& files) {
  return LoadTlsContext(files).status();
}

void Client::Connection::Enter(Stage stage) {
  stage_ = stage;
  if (handler_) handler_->OnStage(stage);
}

void Client::Connection::Start() {
  // Never a callback from within Start().
  asio::post(io_, [self = shared_from_this()] {
    if (self->done_) return;
    for (const std::string& text : self->options_.addresses) {
      error_code error;
      const auto address = asio::ip::make_address(text, error);
      if (!error) self->endpoints_.emplace_back(address, self->options_.port);
    }
    if (self->endpoints_.empty()) {
      self->Resolve();
    } else {
      self->ConnectNext();
    }
  });
}

void Client::Connection::Resolve() {
  Enter(Stage::kResolving);
  if (done_) return;
  SetDeadline(options_.resolve_timeout, CloseReason::kUnreachable, "resolving timed out");
  resolver_.async_resolve(options_.host, std::to_string(options_.port),
                          [self = shared_from_this()](const error_code& error, tcp::resolver::results_type results) {
                            if (self->done_) return;
                            for (const auto& entry : results) self->endpoints_.push_back(entry.endpoint());
                            if (error || self->endpoints_.empty()) {
                              self->Finish(CloseReason::kUnreachable,
                                           absl::UnavailableError(fmt::format("can't resolve {}: {}",
                                                                              self->options_.host, error.message())));
                              return;
                            }
                            self->ConnectNext();
                          });
}

void Client::Connection::ConnectNext() {
  if (endpoint_ == endpoints_.size()) {
    Finish(CloseReason::kUnreachable, absl::UnavailableError(last_error_));
    return;
  }
  if (endpoint_ == 0) Enter(Stage::kTcp);
  if (done_) return;
  error_code ignored;
  socket_.close(ignored);
  deadline_.expires_after(options_.connect_timeout);
  deadline_.async_wait([self = shared_from_this()](const error_code& error) {
    if (error || self->done_ || self->stage_ != Stage::kTcp) return;
    error_code closed;
    self->socket_.close(closed);  // ends the attempt with operation_aborted
  });
  socket_.async_connect(endpoints_[endpoint_],
                        [self = shared_from_this()](const error_code& error) { self->OnTcp(error); });
}

void Client::Connection::OnTcp(const error_code& error) {
  if (done_) return;
  if (error) {
    const std::string why = error == asio::error::operation_aborted ? "timed out" : error.message();
    last_error_ =
        fmt::format("can't connect to {}:{}: {}", endpoints_[endpoint_].address().to_string(), options_.port, why);
    ++endpoint_;
    ConnectNext();
    return;
  }
  TuneSocket(socket_.native_handle(), options_.user_timeout);
  if (options_.tls) {
    StartTls();
  } else {
    Login();
  }
}

void Client::Connection::StartTls() {
  Enter(Stage::kTls);
  if (done_) return;
  tls_context_ = options_.tls_context;
  if (!tls_context_) {
    auto loaded = LoadTlsContext(options_.tls_files);
    if (!loaded.ok()) {
      Finish(CloseReason::kTls, loaded.status());
      return;
    }
    tls_context_ = *std::move(loaded);
  }
  tls_.emplace(socket_, tls_context_->context);
  if (!IsIpAddress(options_.host)) SSL_set_tlsext_host_name(tls_->native_handle(), options_.host.c_str());
  error_code error;
  tls_->set_verify_callback(asio::ssl::host_name_verification(options_.host), error);
  SetDeadline(options_.tls_timeout, CloseReason::kSilent, "the TLS handshake timed out");
  tls_->async_handshake(asio::ssl::stream_base::client, [self = shared_from_this()](const error_code& failed) {
    if (self->done_) return;
    if (failed) {
      const bool is_tls = failed.category() == asio::error::get_ssl_category();
      self->Finish(is_tls ? CloseReason::kTls : CloseReason::kLost,
                   absl::UnavailableError(fmt::format("TLS handshake failed: {}", failed.message())));
      return;
    }
    self->Login();
  });
}

void Client::Connection::Login() {
  Enter(Stage::kLogin);
  if (done_) return;
  Connect connect;
  connect.client_id = options_.client_id;
  connect.keep_alive_seconds = static_cast<uint16_t>(std::min<int64_t>(options_.keep_alive.count(), 65'535));
  connect.clean_session = options_.clean_session;
  connect.has_user_name = !options_.user_name.empty();
  connect.user_name = options_.user_name;
  connect.has_password = !options_.password.empty();
  connect.password = options_.password;
  out_.clear();
  if (Error e = AppendConnect(connect, &out_); e != Error::kOk) {
    Finish(CloseReason::kProtocol, ToStatus(e));
    return;
  }
  SetDeadline(options_.connack_timeout, CloseReason::kSilent, "no CONNACK in time");
  in_.resize(options_.read_bytes);
  StartWrite();
  Read();
}

}  // namespace holdfast::mqtt
