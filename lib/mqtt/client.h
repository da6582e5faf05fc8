// An MQTT 3.1.1 client: one object is one connection. What outlives a connection (the window of messages in flight,
// their packet identifiers, when to try again) is the caller's.
//
//   Client client(io, options, &handler);
//   client.Start();                                   // … handler.OnConnected()
//   AppendPublish(…, client.out()); client.Flush();   // any number of packets, then one Flush
//                                                     // … handler.OnPubacks(identifiers), one call a read
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/mqtt/packet.h"

namespace boost::asio {
class io_context;
}

namespace holdfast::mqtt {

// PEM files; each may be empty. Without ca_file the system's certificates are trusted.
struct TlsFiles {
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
};

// FAILED_PRECONDITION with the file's name if one can't be read or the key is not the certificate's.
absl::Status CheckTlsFiles(const TlsFiles& files);

// The files, loaded: for many connections of one process, since the CAs alone cost milliseconds and a megabyte each
// time.
class TlsContext;
// As CheckTlsFiles.
absl::StatusOr<std::shared_ptr<TlsContext>> LoadTlsContext(const TlsFiles& files);

// How far a connection attempt has come.
enum class Stage : uint8_t { kResolving, kTcp, kTls, kLogin, kConnected };
std::string_view Name(Stage stage);

// Why a connection ended; what to do next depends on it.
enum class CloseReason : uint8_t {
  kUnreachable,  // no address, or TCP was refused, unreachable or timed out
  kTls,          // the handshake failed: certificate, protocol
  kSilent,       // TCP is there, but TLS or CONNACK did not come within its deadline
  kRefused,      // CONNACK with a code other than 0
  kLost,         // the peer closed, or a read or write failed
  kKeepAlive,    // no PINGRESP
  kProtocol,     // the peer broke MQTT 3.1.1
  kLocal,        // Close()
};

struct Closed {
  CloseReason reason = CloseReason::kLost;
  absl::Status status;
  // Where it was when it ended.
  Stage stage = Stage::kResolving;
  // If kRefused.
  ConnackCode code = ConnackCode::kAccepted;
};

// A connection to an MQTT server. Writes are gathered: while one write call is under way everything goes into the next
// one. Not thread-safe: all calls and callbacks happen on the thread that runs the io_context. A callback may delete
// the client.
class Client {
 public:
  struct Options {
    // Name for TLS (SNI, host name check) and, if `addresses` is empty, for the system's resolver.
    std::string host;
    uint16_t port = 1883;
    // Numeric addresses, tried in this order.
    std::vector<std::string> addresses;
    bool tls = false;
    TlsFiles tls_files;
    // Instead of the files; null: they are loaded when the connection is made.
    std::shared_ptr<TlsContext> tls_context;

    std::string client_id;
    std::string user_name;  // empty: none
    std::string password;   // empty: none; needs a user name
    bool clean_session = true;
    // 0 = off. PINGREQ is sent when nothing was written for half of it.
    std::chrono::seconds keep_alive{60};
    // PINGRESP within this, or the connection ends; 0 = the caller watches.
    std::chrono::milliseconds ping_timeout{10'000};

    // One deadline a stage; connect counts for each address.
    std::chrono::milliseconds resolve_timeout{5'000};
    std::chrono::milliseconds connect_timeout{10'000};
    std::chrono::milliseconds tls_timeout{10'000};
    std::chrono::milliseconds connack_timeout{10'000};
    // TCP_USER_TIMEOUT: unacknowledged data for so long ends the connection; 0 = the kernel's default.
    std::chrono::milliseconds user_timeout{20'000};
    // Largest packet accepted from the peer.
    size_t packet_bytes_max = 512 << 10;
    // What a connection reads into at first; grows to packet_bytes_max if the peer sends so much.
    size_t read_bytes = 64 << 10;
  };

  class Handler {
   public:
    virtual ~Handler() = default;
    virtual void OnStage(Stage stage) {}
    // CONNACK 0 arrived. `address` is the numeric address in use.
    virtual void OnConnected(bool session_present, const std::string& address) = 0;
    // Everything that one read brought, in order; may hold identifiers that were never sent.
    virtual void OnPubacks(std::span<const uint16_t> packet_ids) {}
    // A message for one of our subscriptions (views valid during the call); a QoS 1 one is acknowledged when this
    // returns, unless DeferAck() was called in it.
    virtual void OnPublish(const Publish& publish) {}
    virtual void OnSuback(const Suback& suback) {}
    virtual void OnUnsuback(uint16_t packet_id) {}
    virtual void OnPingresp() {}
    // Everything flushed so far is in the kernel's hands.
    virtual void OnWritten() {}
    // The end, exactly once after Start(), except when the client is deleted before. The client may be deleted in it.
    virtual void OnClosed(const Closed& closed) = 0;
  };

  // `io` and `handler` must outlive the client.
  Client(boost::asio::io_context& io, Options options, Handler* handler);
  // Closes at once, without a word to the peer. No callback comes afterwards.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Resolves, connects, logs in. Call once.
  void Start();

  // Packets to be sent: append with the encoders of packet.h, after OnConnected, then Flush().
  std::string* out();
  void Flush();
  // Bytes appended or under way and not yet in the kernel.
  size_t unsent_bytes() const;

  // In OnPublish: the message is acknowledged by Ack() later, or never. The caller answers for the order, which must be
  // that of the messages (4.6.0-2), and for how many wait.
  void DeferAck();
  // PUBACK. Ignored when the connection has ended or is closing.
  void Ack(uint16_t packet_id);

  // PINGREQ, unless one is unanswered.
  void Ping();

  // Writes what is pending and DISCONNECT, then closes; OnClosed(kLocal) within a second.
  void Close();

  bool connected() const;

 private:
  class Connection;
  const std::shared_ptr<Connection> connection_;
};

}  // namespace holdfast::mqtt
