// From the TLS handshake to CONNACK, reading, writing, closing. What the packets mean is in device_packets.cc.
#include "tests/hubsim/device_connection.h"

#include <fmt/format.h>
#include <openssl/ssl.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "lib/base/log.h"
#include "lib/iothub/sas_token.h"
#include "lib/iothub/user_name.h"
#include "tests/hubsim/device_endpoint.h"

namespace holdfast::hubsim {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadBytes = 16 << 10;  // what a TLS record holds at most
constexpr auto kConnectTimeout = std::chrono::seconds(60);
constexpr auto kLinger = std::chrono::seconds(1);

// Asio's timers overflow on a far future.
std::chrono::milliseconds Until(absl::Time end, absl::Time now) {
  return absl::ToChronoMilliseconds(std::min(end - now, absl::Hours(24 * 365)));
}

std::string PeerOf(const tcp::socket& socket) {
  error_code error;
  const tcp::endpoint peer = socket.remote_endpoint(error);
  return error ? "" : fmt::format("{}:{}", peer.address().to_string(), peer.port());
}

}  // namespace

DeviceConnection::DeviceConnection(tcp::socket socket, asio::ssl::context& tls, DeviceEndpoint& endpoint, uint64_t id)
    : endpoint_(endpoint),
      state_(endpoint.state()),
      id_(id),
      peer_(PeerOf(socket)),
      stream_(std::move(socket), tls),
      deadline_(stream_.get_executor()),
      keep_alive_(stream_.get_executor()),
      ack_timer_(stream_.get_executor()),
      gate_(stream_.get_executor()) {}

DeviceConnection::~DeviceConnection() = default;

awaitable<void> DeviceConnection::Run() {
  SetConnectDeadline();
  co_await Thaw();
  if (closed_) co_return;
  {
    const auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kAwait);
    if (error) {
      spdlog::info("TLS handshake failed peer={} error=\"{}\"", peer_, error.message());
      Close("tls");
      co_return;
    }
  }
  while (!closed_) {
    const bool ok = co_await Read();
    if (!ok) co_return;
    co_await Thaw();
    if (closed_) co_return;
    const bool goes_on = Consume();
    endpoint_.OnBatch();
    Flush();
    if (!goes_on) break;
  }
  // What is written last shall arrive: the peer's remaining bytes are read, and the end is then the writer's.
  while (!closed_ && end_ == End::kClose) {
    in_size_ = 0;
    const bool ok = co_await Read();
    if (!ok) co_return;
  }
}

awaitable<bool> DeviceConnection::Read() {
  if (in_.size() < in_size_ + kReadBytes) in_.resize(in_size_ + kReadBytes);
  const auto [error, size] =
      co_await stream_.async_read_some(asio::buffer(in_.data() + in_size_, in_.size() - in_size_), kAwait);
  if (closed_) co_return false;
  if (error) {
    if (end_ == End::kClose) {
      Close(end_reason_);
      co_return false;
    }
    Close(error == asio::error::eof || error == asio::ssl::error::stream_truncated ? "by peer" : "lost");
    co_return false;
  }
  in_size_ += size;
  last_read_ = std::chrono::steady_clock::now();
  co_return true;
}

bool DeviceConnection::Frozen() const {
  if (closed_ || state_.faults.empty()) return false;
  if (const Fault* all = state_.faults.Hang("mqtt"); all != nullptr && (!connected() || all->existing)) return true;
  return !claim_.device_id.empty() && state_.faults.HangsDevice(claim_.device_id, claim_.module_id);
}

awaitable<void> DeviceConnection::Thaw() {
  while (Frozen()) {
    gate_.expires_at(std::chrono::steady_clock::time_point::max());
    co_await gate_.async_wait(kAwait);
  }
}

void DeviceConnection::OnFaults() {
  gate_.cancel();
  if (!delayed_acks_.empty() && state_.faults.empty()) {
    for (DelayedAck& ack : delayed_acks_) ack.due_us = 0;
    SendDueAcks();
  }
  Flush();
}

std::vector<std::string> DeviceConnection::ClientCertificates() {
  std::vector<std::string> chain;
  const auto add = [&chain](X509* certificate) {
    unsigned char* der = nullptr;
    const int size = i2d_X509(certificate, &der);
    if (size > 0) chain.emplace_back(reinterpret_cast<char*>(der), static_cast<size_t>(size));
    OPENSSL_free(der);
  };
  X509* leaf = SSL_get1_peer_certificate(stream_.native_handle());
  if (leaf == nullptr) return chain;
  add(leaf);
  X509_free(leaf);
  // A server's list is without the leaf.
  const STACK_OF(X509)* others = SSL_get_peer_cert_chain(stream_.native_handle());
  for (int i = 0; i < sk_X509_num(others); ++i) add(sk_X509_value(others, i));
  return chain;
}

mqtt::ConnackCode DeviceConnection::Judge(const mqtt::Connect& connect, std::string* why) {
  using Code = mqtt::ConnackCode;
  if (connect.client_id.empty()) {
    *why = "the client id is empty";
    return Code::kIdentifierRejected;
  }
  const auto user = iothub::ParseUserName(connect.user_name);
  if (!user.ok()) {
    *why = std::string(user.status().message());
    return Code::kBadUserOrPassword;
  }
  claim_ = {.device_id = user->identity.device_id,
            .module_id = user->identity.module_id,
            .auth_chain = user->auth_chain,
            .password = std::string(connect.password),
            .certificates = connect.password.empty() ? ClientCertificates() : std::vector<std::string>()};
  if (connect.client_id != user->identity.ClientId()) {
    *why = "the client id is not the user name's identity";
    return Code::kNotAuthorized;
  }
  if (!iothub::EqualsIgnoreCase(user->host, state_.authenticator->hostname())) {
    *why = "the user name is for another hub";
    return Code::kNotAuthorized;
  }
  Fault* fault = state_.faults.Find(FaultKind::kConnack, claim_.device_id, claim_.module_id);
  if (fault != nullptr && ++fault->seen > fault->after) {
    ++fault->struck;
    *why = "fault";
    return static_cast<Code>(fault->code);
  }
  const absl::Time now = state_.clock.WallNow();
  const auto grant = state_.authenticator->CheckClient(claim_, now);
  if (!grant.ok()) {
    *why = std::string(grant.status().message());
    return absl::IsInvalidArgument(grant.status()) ? Code::kBadUserOrPassword : Code::kNotAuthorized;
  }
  topics_.emplace(claim_.device_id, claim_.module_id);
  if (connect.has_will) {
    const Topic will = topics_->Classify(connect.will.topic);
    if (will.kind != TopicKind::kTelemetry) {
      *why = "the will's topic is not an events topic of the client";
      return Code::kNotAuthorized;
    }
    will_topic_ = connect.will.topic;
    will_body_ = connect.will.message;
    will_bag_at_ = will.bag_at;
  }
  sender_ = std::make_shared<const Sender>(
      Sender{.device_id = claim_.device_id, .module_id = claim_.module_id, .actor = grant->actor, .connection = id_});
  SetEnd(grant->until);
  return Code::kAccepted;
}

bool DeviceConnection::TakeConnect() {
  const mqtt::ScanResult scan = mqtt::ScanFrame(std::string_view(in_.data(), in_size_), kDevicePacketBytesMax);
  if (scan.state == mqtt::ScanResult::kNeedMore) return true;
  if (scan.state == mqtt::ScanResult::kError || scan.frame.type() != mqtt::PacketType::kConnect) {
    return Broken("the first packet is no CONNECT");
  }
  mqtt::Connect connect;
  const mqtt::Error error = mqtt::DecodeConnect(scan.frame, &connect);
  if (error == mqtt::Error::kProtocolLevel) {
    Refuse(mqtt::ConnackCode::kUnacceptableProtocol, mqtt::Text(error));
    return false;
  }
  if (error != mqtt::Error::kOk) return Broken(mqtt::Text(error));
  std::string why;
  const mqtt::ConnackCode code = Judge(connect, &why);
  ++state_.counters.connacks[static_cast<size_t>(code)];
  if (code != mqtt::ConnackCode::kAccepted) {
    Refuse(code, why);
    return false;
  }
  ++state_.counters.connects;
  since_ = state_.clock.WallNow();
  keep_alive_seconds_ = connect.keep_alive_seconds == 0 || connect.keep_alive_seconds > kKeepAliveSecondsMax
                            ? kKeepAliveSecondsMax
                            : connect.keep_alive_seconds;
  const bool session_present = endpoint_.Adopt(this, connect.clean_session);
  mqtt::AppendConnack({.session_present = session_present}, &out_);
  WatchKeepAlive();
  spdlog::info("connected client_id={} actor={} connection={} peer={}", connect.client_id, sender_->actor, id_, peer_);
  in_.erase(0, scan.frame.size);
  in_size_ -= scan.frame.size;
  endpoint_.OnConnected(this);
  return true;
}

void DeviceConnection::Refuse(mqtt::ConnackCode code, std::string_view why) {
  sender_ = nullptr;
  spdlog::info("refused connack={} device={} module={} chain={} reason=\"{}\" peer={}", static_cast<int>(code),
               Printable(claim_.device_id), Printable(claim_.module_id), Printable(claim_.auth_chain), why, peer_);
  mqtt::AppendConnack({.code = code}, &out_);
  end_ = End::kClose;
  end_reason_ = "refused";
}

bool DeviceConnection::Broken(std::string_view why) {
  spdlog::info("closed for breaking the contract device={} module={} reason=\"{}\" connection={}",
               Printable(claim_.device_id), Printable(claim_.module_id), why, id_);
  Close("contract");
  return false;
}

void DeviceConnection::Close(std::string_view reason, bool reset) {
  if (closed_) return;
  closed_ = true;
  ++state_.counters.closed[std::string(reason)];
  if (reset) MakeCloseReset(stream_.next_layer());
  error_code ignored;
  stream_.next_layer().close(ignored);
  deadline_.cancel();
  keep_alive_.cancel();
  ack_timer_.cancel();
  gate_.cancel();
  if (connected()) {
    spdlog::info("closed device={} module={} reason=\"{}\" connection={}", sender_->device_id, sender_->module_id,
                 reason, id_);
    PublishWill();
  }
  endpoint_.Forget(this);
}

void DeviceConnection::Flush() {
  if (!closed_ && unsent() > kDeviceOutputBytesMax) return Close("output full");
  StartWrite();
}

void DeviceConnection::StartWrite() {
  if (closed_ || write_active_ || Frozen()) return;
  if (out_.empty()) {
    if (end_ == End::kReset) return Close(end_reason_, true);
    if (end_ == End::kClose) Linger();
    return;
  }
  write_active_ = true;
  writing_.swap(out_);
  asio::async_write(stream_, asio::buffer(writing_), [self = shared_from_this()](const error_code& error, size_t) {
    self->write_active_ = false;
    self->writing_.clear();
    if (error) return self->Close("lost");
    self->StartWrite();
  });
}

// A close with unread input would reset the connection under what was just written.
void DeviceConnection::Linger() {
  error_code ignored;
  stream_.next_layer().shutdown(tcp::socket::shutdown_send, ignored);
  deadline_.expires_after(kLinger);
  deadline_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (!error && self != nullptr) self->Close(self->end_reason_);
  });
}

void DeviceConnection::SetConnectDeadline() {
  deadline_.expires_after(kConnectTimeout);
  deadline_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (!error && self != nullptr && !self->connected()) self->Close("no connect");
  });
}

void DeviceConnection::SetEnd(absl::Time until) {
  if (until == absl::InfiniteFuture()) {
    deadline_.cancel();
    return;
  }
  deadline_.expires_after(Until(until, state_.clock.WallNow()));
  deadline_.async_wait([weak = weak_from_this()](const error_code& error) {
    const auto self = weak.lock();
    if (!error && self != nullptr) self->Close("token expired");
  });
}

void DeviceConnection::WatchKeepAlive() {
  const auto allowed = std::chrono::milliseconds(1500) * keep_alive_seconds_;
  keep_alive_.expires_at(
      std::max(last_read_ + allowed, std::chrono::steady_clock::now() + std::chrono::milliseconds(1)));
  keep_alive_.async_wait([weak = weak_from_this(), allowed](const error_code& error) {
    const auto self = weak.lock();
    if (error || self == nullptr || self->closed_) return;
    if (std::chrono::steady_clock::now() - self->last_read_ >= allowed && !self->Frozen())
      return self->Close("keep-alive");
    self->WatchKeepAlive();
  });
}

}  // namespace holdfast::hubsim
