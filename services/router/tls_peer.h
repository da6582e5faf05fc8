// A client of the router that speaks TLS: OpenSSL over buffers in memory, so that a test decides what goes out
// together.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/unique_fd.h"
#include "lib/pki/certificate.h"

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;

namespace holdfast::router {

// Not thread-safe. All reads wait ten seconds at most.
class TlsPeer {
 public:
  struct Options {
    // What the client shows, leaf first, with the leaf's key. Empty = nothing.
    std::vector<pki::Certificate> chain;
    const pki::PrivateKey* key = nullptr;
    int version = 0;  // TLS1_2_VERSION, …; 0 = the best of both
    // Of an earlier connection, to be resumed.
    ssl_session_st* session = nullptr;
  };

  explicit TlsPeer(uint16_t port) : TlsPeer(port, Options()) {}
  TlsPeer(uint16_t port, Options options);

  // The TLS handshake. `coalesced` goes out in one piece with the handshake's last flight. False: error() says why.
  bool Handshake(std::string_view coalesced = "");

  void Send(std::string_view bytes);
  // The next whole MQTT packet; "" if the connection ended or nothing came.
  std::string Read();
  // What comes up to and including `end`, and the `size` bytes that come next; "" if they don't.
  std::string ReadUntil(std::string_view end);
  std::string ReadBytes(size_t size);
  bool Closed();

  const std::string& error() const { return error_; }
  bool resumed() const;
  // Lower-case hexadecimal SHA-256 of the server's certificate.
  std::string server_fingerprint() const;
  // A new reference, or null.
  std::shared_ptr<ssl_session_st> session() const;

 private:
  void Flush();
  // Takes more of what was sent into input_. False: it ended, or nothing came.
  bool More();
  // Takes more bytes from the socket. False: it ended, or nothing came.
  bool Fill();

  UniqueFd fd_;
  std::shared_ptr<ssl_ctx_st> context_;
  std::shared_ptr<ssl_st> ssl_;
  std::string input_;
  std::string error_;
};

// A key and a certificate for it, made by a CA of its own; `name` is the common name.
struct TestCertificate {
  explicit TestCertificate(const std::string& name);
  pki::PrivateKey ca_key;
  pki::Certificate ca;
  pki::PrivateKey key;
  pki::Certificate leaf;
};

std::string Der(const pki::Certificate& certificate);

}  // namespace holdfast::router
