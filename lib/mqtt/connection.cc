// A connection that stands: what comes in, what goes out, keep-alive, the end.
#include "lib/mqtt/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <cstring>

namespace holdfast::mqtt {
namespace {

constexpr milliseconds kCloseTimeout{1'000};

}  // namespace

void Client::Connection::Read() {
  if (in_size_ == in_.size()) in_.resize(in_.size() * 2);  // bounded by packet_bytes_max: see Consume
  const auto space = asio::buffer(in_.data() + in_size_, in_.size() - in_size_);
  auto done = [self = shared_from_this()](const error_code& error, size_t size) { self->OnRead(error, size); };
  if (tls_) {
    tls_->async_read_some(space, std::move(done));
  } else {
    socket_.async_read_some(space, std::move(done));
  }
}

void Client::Connection::OnRead(const error_code& error, size_t size) {
  if (done_) return;
  in_size_ += size;
  if (size > 0 && !Consume()) return;
  if (error) {
    const bool end = error == asio::error::eof || error == asio::ssl::error::stream_truncated;
    Finish(closing_ ? CloseReason::kLocal : CloseReason::kLost,
           absl::UnavailableError(end ? "the peer closed the connection"
                                      : fmt::format("read failed: {}", error.message())));
    return;
  }
  Read();
}

bool Client::Connection::Consume() {
  const char* const begin = in_.data();
  size_t used = 0;
  for (;;) {
    const ScanResult scan = ScanFrame({begin + used, in_size_ - used}, options_.packet_bytes_max);
    if (scan.state == ScanResult::kError) return FlushPubacks() && Broken(scan.error);
    if (scan.state == ScanResult::kNeedMore) break;
    used += scan.frame.size;
    if (!OnPacket(scan.frame)) return false;
  }
  in_size_ -= used;
  if (used > 0 && in_size_ > 0) std::memmove(in_.data(), in_.data() + used, in_size_);
  if (!FlushPubacks()) return false;
  Flush();  // acknowledgements of what we received
  return !done_;
}

bool Client::Connection::FlushPubacks() {
  if (pubacks_.empty()) return !done_;
  std::vector<uint16_t> ids;
  ids.swap(pubacks_);
  if (handler_) handler_->OnPubacks(ids);
  ids.clear();
  pubacks_.swap(ids);  // keeps the capacity
  return !done_;
}

bool Client::Connection::OnPacket(const Frame& frame) {
  if (stage_ == Stage::kLogin) return OnConnack(frame);
  uint16_t id = 0;
  Error error = Error::kOk;
  switch (frame.type()) {
    case PacketType::kPuback:
      if (error = DecodePacketId(frame, &id); error == Error::kOk) pubacks_.push_back(id);
      break;
    case PacketType::kPublish:
      return OnIncomingPublish(frame);
    case PacketType::kPingresp:
      if (error = DecodeEmpty(frame); error != Error::kOk) break;
      ping_sent_.reset();
      if (FlushPubacks() && handler_) handler_->OnPingresp();
      break;
    case PacketType::kSuback: {
      Suback suback;
      if (error = DecodeSuback(frame, &suback); error == Error::kOk && handler_) handler_->OnSuback(suback);
      break;
    }
    case PacketType::kUnsuback:
      if (error = DecodePacketId(frame, &id); error == Error::kOk && handler_) handler_->OnUnsuback(id);
      break;
    default:
      Finish(CloseReason::kProtocol,
             absl::InvalidArgumentError(fmt::format("the server sent {}, which it must not", Name(frame.type()))));
      return false;
  }
  if (error != Error::kOk) return Broken(error);
  return !done_;
}

bool Client::Connection::OnConnack(const Frame& frame) {
  if (frame.type() != PacketType::kConnack) {
    Finish(CloseReason::kProtocol,
           absl::InvalidArgumentError(fmt::format("the server sent {} instead of CONNACK", Name(frame.type()))));
    return false;
  }
  Connack connack;
  if (Error e = DecodeConnack(frame, &connack); e != Error::kOk) return Broken(e);
  if (connack.code != ConnackCode::kAccepted) {
    Finish(CloseReason::kRefused,
           absl::PermissionDeniedError(fmt::format("the server refused the login: {} (CONNACK {})", Text(connack.code),
                                                   static_cast<int>(connack.code))),
           connack.code);
    return false;
  }
  deadline_.cancel();
  Enter(Stage::kConnected);
  StartKeepAlive();
  if (handler_) handler_->OnConnected(connack.session_present, endpoints_[endpoint_].address().to_string());
  return !done_;
}

bool Client::Connection::OnIncomingPublish(const Frame& frame) {
  Publish publish;
  if (Error e = DecodePublish(frame, &publish); e != Error::kOk) return Broken(e);
  if (publish.qos == 2) {
    Finish(CloseReason::kProtocol, absl::InvalidArgumentError("the server sent QoS 2, which was never asked for"));
    return false;
  }
  ack_deferred_ = false;
  if (handler_) handler_->OnPublish(publish);
  if (!done_ && publish.qos == 1 && !ack_deferred_) AppendPuback(publish.packet_id, &out_);
  return !done_;
}

void Client::Connection::Ack(uint16_t packet_id) {
  if (!connected() || closing_) return;
  AppendPuback(packet_id, &out_);
  Flush();
}

bool Client::Connection::Broken(Error error) {
  Finish(CloseReason::kProtocol,
         absl::InvalidArgumentError(fmt::format("bad packet from the server: {}", Text(error))));
  return false;
}

void Client::Connection::Flush() {
  if (stage_ == Stage::kConnected && !done_ && !write_active_ && !out_.empty()) StartWrite();
}

void Client::Connection::StartWrite() {
  write_active_ = true;
  writing_.swap(out_);
  auto done = [self = shared_from_this()](const error_code& error, size_t) { self->OnWrite(error); };
  if (tls_) {
    asio::async_write(*tls_, asio::buffer(writing_), std::move(done));
  } else {
    asio::async_write(socket_, asio::buffer(writing_), std::move(done));
  }
}

void Client::Connection::OnWrite(const error_code& error) {
  write_active_ = false;
  writing_.clear();
  if (done_) return;
  if (error) {
    Finish(closing_ ? CloseReason::kLocal : CloseReason::kLost,
           absl::UnavailableError(fmt::format("write failed: {}", error.message())));
    return;
  }
  last_write_ = steady_clock::now();
  if (stage_ != Stage::kConnected) return;
  if (handler_) handler_->OnWritten();
  if (done_) return;
  if (closing_ && out_.empty() && !write_active_) {
    Finish(CloseReason::kLocal, absl::CancelledError("closed"));
    return;
  }
  Flush();
}

void Client::Connection::StartKeepAlive() {
  if (options_.keep_alive.count() == 0) return;
  last_write_ = steady_clock::now();
  OnKeepAlive();
}

void Client::Connection::OnKeepAlive() {
  const auto now = steady_clock::now();
  const auto half = std::chrono::duration_cast<milliseconds>(options_.keep_alive) / 2;
  const bool watch = options_.ping_timeout.count() > 0;
  if (watch && ping_sent_ && now - *ping_sent_ >= options_.ping_timeout) {
    Finish(CloseReason::kKeepAlive, absl::DeadlineExceededError("no PINGRESP in time"));
    return;
  }
  if (now - last_write_ >= half) Ping();
  auto next = std::max(last_write_ + half, now + milliseconds(10));
  if (watch && ping_sent_) next = std::min(next, std::max(*ping_sent_ + options_.ping_timeout, now + milliseconds(10)));
  keep_alive_.expires_at(next);
  keep_alive_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error && !self->done_) self->OnKeepAlive();
  });
}

void Client::Connection::Ping() {
  if (!connected() || ping_sent_) return;
  ping_sent_ = steady_clock::now();
  last_write_ = *ping_sent_;
  AppendPingreq(&out_);
  Flush();
}

void Client::Connection::Close() {
  if (done_ || closing_) return;
  if (stage_ != Stage::kConnected) {
    asio::post(io_, [self = shared_from_this()] { self->Finish(CloseReason::kLocal, absl::CancelledError("closed")); });
    return;
  }
  closing_ = true;
  AppendDisconnect(&out_);
  SetDeadline(kCloseTimeout, CloseReason::kLocal, "closed");
  Flush();
}

void Client::Connection::SetDeadline(milliseconds timeout, CloseReason reason, std::string what) {
  deadline_.expires_after(timeout);
  deadline_.async_wait(
      [self = shared_from_this(), stage = stage_, reason, what = std::move(what)](const error_code& error) {
        if (error || self->done_ || self->stage_ != stage) return;
        self->Finish(reason, absl::DeadlineExceededError(what));
      });
}

void Client::Connection::Finish(CloseReason reason, absl::Status status, ConnackCode code) {
  if (done_) return;
  Shut();
  if (Handler* const handler = std::exchange(handler_, nullptr)) {
    handler->OnClosed(Closed{reason, std::move(status), stage_, code});
  }
}

void Client::Connection::Shut() {
  done_ = true;
  error_code ignored;
  resolver_.cancel();
  socket_.close(ignored);
  deadline_.cancel();
  keep_alive_.cancel();
}

}  // namespace holdfast::mqtt
