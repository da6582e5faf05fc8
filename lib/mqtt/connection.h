// Inside of lib/mqtt/client.h: the one connection of a Client. Included by the files that implement it only, since
// Asio's templates are dear.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/mqtt/client.h"

namespace holdfast::mqtt {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

class TlsContext {
 public:
  asio::ssl::context context{asio::ssl::context::tls_client};
};

// The operations under way hold it by shared_ptr; the Client detaches from it when it dies.
class Client::Connection : public std::enable_shared_from_this<Client::Connection> {
 public:
  Connection(asio::io_context& io, Options options, Handler* handler)
      : io_(io),
        options_(std::move(options)),
        handler_(handler),
        resolver_(io),
        socket_(io),
        deadline_(io),
        keep_alive_(io) {}

  void Start();
  void Flush();
  void DeferAck() { ack_deferred_ = true; }
  void Ack(uint16_t packet_id);
  void Ping();
  void Close();
  // No more callbacks; the socket closes.
  void Detach() {
    handler_ = nullptr;
    Shut();
  }

  std::string* out() { return &out_; }
  size_t unsent_bytes() const { return out_.size() + writing_.size(); }
  bool connected() const { return stage_ == Stage::kConnected && !done_; }

 private:
  void Enter(Stage stage);
  void Resolve();
  void ConnectNext();
  void OnTcp(const error_code& error);
  void StartTls();
  void Login();
  void Read();
  void OnRead(const error_code& error, size_t size);
  // False if the connection ended.
  bool Consume();
  bool OnPacket(const Frame& frame);
  bool OnConnack(const Frame& frame);
  bool OnIncomingPublish(const Frame& frame);
  bool Broken(Error error);
  bool FlushPubacks();
  void StartWrite();
  void OnWrite(const error_code& error);
  void StartKeepAlive();
  void OnKeepAlive();
  void SetDeadline(milliseconds timeout, CloseReason reason, std::string what);
  void Finish(CloseReason reason, absl::Status status, ConnackCode code = ConnackCode::kAccepted);
  void Shut();

  asio::io_context& io_;
  const Options options_;
  Handler* handler_;

  tcp::resolver resolver_;
  tcp::socket socket_;
  std::shared_ptr<TlsContext> tls_context_;
  std::optional<asio::ssl::stream<tcp::socket&>> tls_;
  // For the stage under way; afterwards for closing.
  asio::steady_timer deadline_;
  asio::steady_timer keep_alive_;

  Stage stage_ = Stage::kResolving;
  bool done_ = false;
  bool closing_ = false;
  std::vector<tcp::endpoint> endpoints_;
  size_t endpoint_ = 0;
  std::string last_error_;

  std::vector<char> in_;
  size_t in_size_ = 0;
  std::vector<uint16_t> pubacks_;
  // Of the message that the handler has before it.
  bool ack_deferred_ = false;

  std::string out_;
  std::string writing_;
  bool write_active_ = false;
  steady_clock::time_point last_write_;
  std::optional<steady_clock::time_point> ping_sent_;
};

}  // namespace holdfast::mqtt
