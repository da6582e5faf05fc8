#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>
#include <vector>

struct ssl_st;
struct ssl_ctx_st;

namespace holdfast::router {

// A TCP connection, in the clear or under TLS, as non-blocking calls; waiting is the caller's, on socket(). OpenSSL
// works on the file descriptor itself, so an idle TLS connection holds no buffers, and the connection can move to
// another thread. Not thread-safe.
class Transport {
 public:
  enum class State : uint8_t {
    kOk,         // `bytes` were moved
    kWantRead,   // call again when the socket is readable
    kWantWrite,  // call again when the socket is writable
    kClosed,     // the peer closed
    kError,      // broken; error() says how
  };
  struct Result {
    State state = State::kOk;
    size_t bytes = 0;
  };

  // `tls` null = in the clear. Takes a reference to the context.
  Transport(boost::asio::ip::tcp::socket socket, ssl_ctx_st* tls);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // TLS only: kOk when it is done.
  Result Handshake();
  // Up to `size` bytes; fewer only if there are no more at the moment.
  Result Read(char* out, size_t size);
  // True if Read has more to say without the socket being readable again.
  bool more() const { return more_; }
  Result Write(const char* data, size_t size);
  // Sends what the protocol has for a goodbye, and ends the sending side.
  void ShutdownSend();
  void Close();

  // Afterwards the socket's handlers run on `context`. No wait may be pending.
  bool MoveTo(boost::asio::io_context& context);

  boost::asio::ip::tcp::socket& socket() { return *socket_; }
  bool tls() const { return ssl_ != nullptr; }
  // "192.0.2.7:50412"
  const std::string& peer() const { return peer_; }
  const std::string& error() const { return error_; }
  // All that the client showed, leaf first, DER; empty if nothing.
  std::vector<std::string> CertificateChain() const;

 private:
  Result FromSsl(int result);
  Result FromErrno();

  std::unique_ptr<boost::asio::ip::tcp::socket> socket_;
  ssl_st* ssl_ = nullptr;
  bool more_ = false;
  std::string peer_;
  std::string error_;
};

}  // namespace holdfast::router
