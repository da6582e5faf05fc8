#include "services/router/greeter.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "lib/base/log.h"
#include "lib/mqtt/packet.h"
#include "services/router/client_topics.h"
#include "services/router/connect_rules.h"

namespace holdfast::router {

namespace asio = boost::asio;
using asio::awaitable;
using Tcp = asio::ip::tcp;

namespace {

constexpr int64_t kRefusalLinesPerSecond = 100;
constexpr int64_t kLimitedLinesPerSecond = 1;
constexpr size_t kReadBytes = 4096;
// How long a refused client has to read its CONNACK and close.
constexpr absl::Duration kLinger = absl::Seconds(1);
// Asked so often in all, when identities change faster than auth answers; then the client is told to come again.
constexpr int kAsksMax = 3;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

absl::Duration ValidFor(const auth::v1::AuthenticateResponse& response) {
  if (!response.has_valid_for()) return absl::InfiniteDuration();
  return absl::Seconds(response.valid_for().seconds()) + absl::Nanoseconds(response.valid_for().nanos());
}

}  // namespace

// One connection on its way. Its coroutine owns it.
class Greeting : public std::enable_shared_from_this<Greeting> {
 public:
  Greeting(Greeter* greeter, IoThread* thread, Tcp::socket socket, const asio::ip::address& address,
           std::unique_ptr<ConnectionLimit::Slot> slot, std::shared_ptr<const TlsContext> tls)
      : greeter_(greeter),
        parts_(greeter->parts_),
        address_(address),
        log_limit_(greeter->log_limit_),
        thread_(thread),
        tls_(std::move(tls)),
        timer_(thread->context()),
        connection_(std::make_shared<AcceptedConnection>()) {
    connection_->slot = std::move(slot);
    connection_->transport = std::make_unique<Transport>(std::move(socket), tls_ ? tls_->get() : nullptr);
  }

  // The caller keeps the object alive until it is done.
  awaitable<void> Run() {
    SetTimer(parts_.options.connect_timeout);
    const bool secured = co_await Handshake();
    const bool complete = secured && co_await ReadConnect();
    if (complete) co_await Judge();
    timer_.cancel();
  }

 private:
  Transport& transport() { return *connection_->transport; }

  // Ends the waits on the socket when the time is over.
  void SetTimer(absl::Duration timeout) {
    timed_out_ = false;
    timer_.expires_after(absl::ToChronoNanoseconds(timeout));
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || self == nullptr || self->connection_->transport == nullptr) return;
      self->timed_out_ = true;
      boost::system::error_code ignored;
      self->transport().socket().cancel(ignored);
    });
  }

  // False: time is over.
  awaitable<bool> Wait(Transport::State state) {
    if (timed_out_) co_return false;
    const auto what = state == Transport::State::kWantWrite ? Tcp::socket::wait_write : Tcp::socket::wait_read;
    co_await transport().socket().async_wait(what, kAwait);
    co_return !timed_out_;
  }

  awaitable<bool> Handshake() {
    while (true) {
      const Transport::Result result = transport().Handshake();
      switch (result.state) {
        case Transport::State::kOk:
          co_return true;
        case Transport::State::kWantRead:
        case Transport::State::kWantWrite:
          if (co_await Wait(result.state)) continue;
          Log("connection closed before CONNECT", "TLS handshake took too long");
          co_return false;
        default:
          Failed();
          Log("TLS handshake failed", transport().error());
          co_return false;
      }
    }
  }

  // Reads until `input` starts with a whole CONNECT.
  awaitable<bool> ReadConnect() {
    std::string& input = connection_->input;
    while (true) {
      if (!input.empty()) {
        const mqtt::ScanResult scan = mqtt::ScanFrame(input, kConnectBytesMax);
        const auto type = static_cast<mqtt::PacketType>(static_cast<uint8_t>(input[0]) >> 4);
        if (scan.state == mqtt::ScanResult::kError || type != mqtt::PacketType::kConnect) {
          Log("connection closed before CONNECT",
              scan.state == mqtt::ScanResult::kError ? mqtt::Text(scan.error) : "the first packet is no CONNECT");
          parts_.metrics.Connect(ConnectResult::kMalformed);
          Failed();
          co_return false;
        }
        if (scan.state == mqtt::ScanResult::kPacket) {
          frame_size_ = scan.frame.size;
          co_return true;
        }
      }
      const size_t had = input.size();
      input.resize(had + kReadBytes);
      const Transport::Result result = transport().Read(input.data() + had, kReadBytes);
      input.resize(had + result.bytes);
      if (result.state == Transport::State::kOk) continue;
      if (result.state == Transport::State::kWantRead || result.state == Transport::State::kWantWrite) {
        if (co_await Wait(result.state)) continue;
        Log("connection closed before CONNECT", "no CONNECT in time");
      } else {
        // A port that is only looked at, as load balancers do, has cost nothing.
        if (tls_ != nullptr || !input.empty()) Failed();
        if (result.state == Transport::State::kError) Log("connection closed before CONNECT", transport().error());
      }
      co_return false;
    }
  }

  awaitable<void> Judge() {
    // Views into the packet: gone with it.
    const std::string packet = connection_->input.substr(0, frame_size_);
    connection_->input.erase(0, frame_size_);
    mqtt::Connect connect;
    const mqtt::Error error = mqtt::DecodeConnect(mqtt::ScanFrame(packet, kConnectBytesMax).frame, &connect);
    ConnectCheck check = error == mqtt::Error::kOk ? CheckConnect(connect) : CheckConnectError(error);
    std::vector<std::string> chain;
    if (check.result == ConnectResult::kAccepted && connect.password.empty()) {
      chain = transport().CertificateChain();
      if (ConnectCheck size = CheckCertificateChain(chain); size.result != ConnectResult::kAccepted) {
        check = std::move(size);
      }
    }
    // Others from there may have failed since this one was accepted.
    if (!greeter_->Allows(address_)) co_return;
    if (check.result == ConnectResult::kAccepted) {
      auth::v1::AuthenticateRequest request;
      request.set_device_id(check.user.identity.device_id);
      request.set_module_id(check.user.identity.module_id);
      request.set_password(std::string(connect.password));
      request.set_peer(transport().peer());
      request.set_auth_chain(check.user.auth_chain);
      for (std::string& der : chain) request.add_certificate_chain(std::move(der));
      auth::v1::AuthenticateResponse grant;
      ConnectCheck verdict = co_await AskUntilItHolds(check, request, &grant);
      if (verdict.result == ConnectResult::kAccepted) {
        parts_.metrics.Connect(verdict.result);
        HandOver(std::move(check), connect, grant);
        co_return;
      }
      check = std::move(verdict);
    }
    parts_.metrics.Connect(check.result);
    if (IsClientsFault(check.result)) Failed();
    Log(fmt::format("client refused client_id={} result={}",
                    error == mqtt::Error::kOk ? Printable(connect.client_id) : "unknown", Word(check.result)),
        check.reason);
    if (check.result != ConnectResult::kMalformed) co_await Refuse(CodeFor(check.result));
  }

  // P11: what auth judged by may have changed before its answer came here, and nobody would look at it again.
  awaitable<ConnectCheck> AskUntilItHolds(const ConnectCheck& client, const auth::v1::AuthenticateRequest& request,
                                          auth::v1::AuthenticateResponse* grant) {
    for (int asked = 0; asked < kAsksMax; ++asked) {
      auto answer = co_await Ask(request);
      ConnectCheck verdict = CheckAnswer(answer);
      if (verdict.result != ConnectResult::kAccepted) co_return verdict;
      *grant = *std::move(answer);
      if (parts_.identities.Holds(client.user.identity, client.links, grant->identity_version())) co_return verdict;
    }
    ConnectCheck stale;
    stale.result = ConnectResult::kStaleGrant;
    stale.reason = "its identity changed after auth had judged it, several times";
    co_return stale;
  }

  awaitable<absl::StatusOr<auth::v1::AuthenticateResponse>> Ask(const auth::v1::AuthenticateRequest& request) {
    using Answer = absl::StatusOr<auth::v1::AuthenticateResponse>;
    // The answer comes on a thread of gRPC's; the coroutine goes on on its own.
    asio::steady_timer arrived(thread_->context(), asio::steady_timer::time_point::max());
    auto answer = std::make_shared<std::optional<Answer>>();
    parts_.auth.Authenticate(request,
                             [thread = thread_, answer, &arrived, self = shared_from_this()](Answer result) mutable {
                               auto held = std::make_shared<Answer>(std::move(result));
                               thread->Post([answer, held, &arrived, self = std::move(self)] {
                                 *answer = std::move(*held);
                                 arrived.cancel();
                               });
                             });
    while (!answer->has_value()) co_await arrived.async_wait(kAwait);
    co_return std::move(**answer);
  }

  void HandOver(ConnectCheck client, const mqtt::Connect& connect, const auth::v1::AuthenticateResponse& grant) {
    connection_->clean_session = connect.clean_session;
    connection_->keep_alive_seconds = connect.keep_alive_seconds;
    connection_->valid_for = ValidFor(grant);
    connection_->identity_version = grant.identity_version();
    if (connect.has_will) {
      const PublishTopic topic = ClientTopics(client.user.identity).Classify(connect.will.topic);
      connection_->will = StoredWill{.property_bag = std::string(topic.bag),
                                     .body = std::string(connect.will.message),
                                     .retain = connect.will.retain};
    }
    connection_->home = parts_.homes.Claim(connect.client_id);
    connection_->user = std::move(client.user);
    connection_->actor = std::move(client.actor);
    connection_->links = std::move(client.links);
    timer_.cancel();
    auto connection = std::make_shared<AcceptedConnection>(std::move(*connection_));
    parts_.hand_over(std::move(connection));
  }

  // Sends the CONNACK and gives it time to arrive: a close with unread input would reset the connection under it.
  awaitable<void> Refuse(mqtt::ConnackCode code) {
    std::string connack;
    mqtt::AppendConnack({.code = code}, &connack);
    SetTimer(kLinger);
    size_t sent = 0;
    while (sent < connack.size()) {
      const Transport::Result result = transport().Write(connack.data() + sent, connack.size() - sent);
      sent += result.bytes;
      if (result.state == Transport::State::kOk) continue;
      const bool blocked = result.state == Transport::State::kWantRead || result.state == Transport::State::kWantWrite;
      if (!blocked || !co_await Wait(result.state)) co_return;
    }
    transport().ShutdownSend();
    char ignored[kReadBytes];
    // Bounded: who goes on sending must not keep the thread, and the timer on it, busy.
    for (size_t drained = 0; drained < kConnectBytesMax;) {
      const Transport::Result result = transport().Read(ignored, sizeof ignored);
      if (result.state == Transport::State::kOk) {
        drained += result.bytes;
        continue;
      }
      if (result.state != Transport::State::kWantRead || !co_await Wait(result.state)) co_return;
    }
  }

  void Failed() { greeter_->failures_.Failed(address_, parts_.clock.SinceBoot()); }

  void Log(std::string_view event, std::string_view reason) {
    uint64_t suppressed = 0;
    if (!log_limit_.Take(parts_.clock.WallNow(), &suppressed)) return;
    if (suppressed > 0) spdlog::warn("lines on refused clients left out lines={}", suppressed);
    spdlog::info("{} peer={} reason=\"{}\"", event, transport().peer(), reason);
  }

  Greeter* const greeter_;
  const Greeter::Parts& parts_;
  const asio::ip::address address_;
  LogLimit& log_limit_;
  IoThread* const thread_;
  const std::shared_ptr<const TlsContext> tls_;
  asio::steady_timer timer_;
  std::shared_ptr<AcceptedConnection> connection_;
  size_t frame_size_ = 0;
  bool timed_out_ = false;
};

Greeter::Greeter(Parts parts)
    : parts_(std::move(parts)),
      log_limit_(kRefusalLinesPerSecond),
      failures_(parts_.options.failed_connects_burst, parts_.options.failed_connects_per_second),
      limited_log_limit_(kLimitedLinesPerSecond) {}

bool Greeter::Allows(const asio::ip::address& address) {
  if (failures_.Allows(address, parts_.clock.SinceBoot())) return true;
  parts_.metrics.ConnectLimited();
  uint64_t others = 0;
  if (limited_log_limit_.Take(parts_.clock.WallNow(), &others)) {
    spdlog::warn("connections closed unheard, too many from their address have failed address={} others={}",
                 address.to_string(), others);
  }
  return false;
}

void Greeter::Greet(IoThread* thread, Tcp::socket socket, std::unique_ptr<ConnectionLimit::Slot> slot,
                    std::shared_ptr<const TlsContext> tls) {
  boost::system::error_code error;
  const asio::ip::address address = socket.remote_endpoint(error).address();
  if (error || !Allows(address)) return;
  auto greeting = std::make_shared<Greeting>(this, thread, std::move(socket), address, std::move(slot), std::move(tls));
  asio::co_spawn(
      thread->context(), [greeting] { return greeting->Run(); }, asio::detached);
}

}  // namespace holdfast::router
