#include "services/router/tls_peer.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include "absl/time/clock.h"
#include "lib/mqtt/packet.h"

namespace holdfast::router {
namespace {

constexpr int kPatienceMs = 10'000;

}  // namespace

TlsPeer::TlsPeer(uint16_t port, Options options)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  // So that the client itself would speak an old version.
  SSL_CTX_set_security_level(context_.get(), 0);
  SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_CLIENT);
  SSL_CTX_set_min_proto_version(context_.get(), options.version);
  SSL_CTX_set_max_proto_version(context_.get(), options.version);
  if (!options.chain.empty()) {
    EXPECT_EQ(SSL_CTX_use_certificate(context_.get(), options.chain[0].get()), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey(context_.get(), options.key->get()), 1);
    for (size_t i = 1; i < options.chain.size(); ++i) {
      EXPECT_EQ(SSL_CTX_add1_chain_cert(context_.get(), options.chain[i].get()), 1);
    }
  }
  ssl_ = std::shared_ptr<SSL>(SSL_new(context_.get()), SSL_free);
  SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(ssl_.get());
  if (options.session != nullptr) {
    EXPECT_EQ(SSL_set_session(ssl_.get(), options.session), 1);
  }
}

void TlsPeer::Flush() {
  BIO* const out = SSL_get_wbio(ssl_.get());
  std::string bytes(BIO_pending(out), '\0');
  if (bytes.empty()) return;
  BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
  for (std::string_view rest = bytes; !rest.empty();) {
    const ssize_t n = ::send(fd_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    rest.remove_prefix(static_cast<size_t>(n));
  }
}

bool TlsPeer::Fill() {
  pollfd p{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&p, 1, kPatienceMs) <= 0) return false;
  char buffer[16 * 1024];
  const ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, 0);
  if (n <= 0) return false;
  BIO_write(SSL_get_rbio(ssl_.get()), buffer, static_cast<int>(n));
  return true;
}

bool TlsPeer::Handshake(std::string_view coalesced) {
  while (true) {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1) break;
    const bool wants = SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ;
    if (!wants) {
      const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
      error_ = reason == nullptr ? "unknown" : reason;
    }
    Flush();
    if (!wants) return false;
    if (!Fill()) {
      error_ = "connection closed";
      return false;
    }
  }
  if (!coalesced.empty()) SSL_write(ssl_.get(), coalesced.data(), static_cast<int>(coalesced.size()));
  Flush();
  return true;
}

void TlsPeer::Send(std::string_view bytes) {
  SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
  Flush();
}

std::string TlsPeer::Read() {
  while (true) {
    const mqtt::ScanResult scan = mqtt::ScanFrame(input_, mqtt::kPacketBytesMax);
    if (scan.state == mqtt::ScanResult::kPacket) return ReadBytes(scan.frame.size);
    if (!More()) return "";
  }
}

bool TlsPeer::More() {
  while (true) {
    char buffer[16 * 1024];
    const int n = SSL_read(ssl_.get(), buffer, sizeof buffer);
    if (n > 0) {
      input_.append(buffer, static_cast<size_t>(n));
      return true;
    }
    if (SSL_get_error(ssl_.get(), n) != SSL_ERROR_WANT_READ || !Fill()) return false;
  }
}

std::string TlsPeer::ReadUntil(std::string_view end) {
  while (true) {
    if (const size_t found = input_.find(end); found != std::string::npos) return ReadBytes(found + end.size());
    if (!More()) return "";
  }
}

std::string TlsPeer::ReadBytes(size_t size) {
  while (input_.size() < size) {
    if (!More()) return "";
  }
  std::string bytes = input_.substr(0, size);
  input_.erase(0, size);
  return bytes;
}

bool TlsPeer::Closed() {
  while (!Read().empty()) {
  }
  // The peer's close_notify, or the end of the stream: but not a time-out.
  pollfd p{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  return ::poll(&p, 1, kPatienceMs) == 1;
}

bool TlsPeer::resumed() const {
  return SSL_session_reused(ssl_.get()) == 1;
}

std::string TlsPeer::server_fingerprint() const {
  X509* const certificate = SSL_get1_peer_certificate(ssl_.get());
  if (certificate == nullptr) return "";
  return pki::Certificate(std::shared_ptr<X509>(certificate, X509_free)).Summary().sha256;
}

std::shared_ptr<SSL_SESSION> TlsPeer::session() const {
  return {SSL_get1_session(ssl_.get()), SSL_SESSION_free};
}

TestCertificate::TestCertificate(const std::string& name)
    : ca_key(*pki::PrivateKey::Generate()),
      ca(*pki::MakeRootCa(ca_key, "CA of " + name, absl::Now())),
      key(*pki::PrivateKey::Generate()),
      leaf(*pki::MakeServerCertificate(key, {name}, ca, ca_key, absl::Now())) {}

std::string Der(const pki::Certificate& certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate.get(), &der);
  std::string bytes(reinterpret_cast<const char*>(der), static_cast<size_t>(std::max(size, 0)));
  OPENSSL_free(der);
  return bytes;
}

}  // namespace holdfast::router
