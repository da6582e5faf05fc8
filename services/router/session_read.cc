// Session's reading: what arrives, whole packets of it, and what is done while there is no room for more.
#include <algorithm>
#include <cstring>

#include "services/router/session.h"

namespace holdfast::router {
namespace {

// A remainder up to this size is copied in front of what is read next; a larger one grows where it is.
constexpr size_t kCopiedInputMax = kReadBufferBytes / 4;
constexpr size_t kLargeReadBytes = kReadBufferBytes - kCopiedInputMax;
constexpr size_t kPacketHeaderMax = 5;
// Bytes that a paused session holds; all those of a thread together hold pending_bytes_max more, at most.
constexpr size_t kPausedInputMax = 64 * 1024;

}  // namespace

bool Session::Full() const {
  return acks_.size() >= static_cast<size_t>(context_.options.session_inflight_max) ||
         context_.batcher.pending_bytes() >= static_cast<size_t>(context_.options.pending_bytes_max);
}

size_t Session::PacketBytesMax() const {
  return static_cast<size_t>(context_.options.packet_bytes_max) + kPacketHeaderMax +
         (actor_.empty() ? 0 : kGatewayPropertyBytes);
}

void Session::ArmRead() {
  if (closed_ || reading_ || (paused_ && ReadAheadRoom() == 0)) return;
  reading_ = true;
  if (transport_->more()) {
    context_.thread.Post([self = shared_from_this()] {
      self->reading_ = false;
      self->OnReadable();
    });
    return;
  }
  transport_->socket().async_wait(boost::asio::ip::tcp::socket::wait_read,
                                  [self = shared_from_this()](const boost::system::error_code&) {
                                    self->reading_ = false;
                                    self->OnReadable();
                                  });
}

void Session::OnReadable() {
  if (closed_) return;
  if (paused_) return ReadAhead();
  Transport::Result result;
  const bool large = input_.size() > kCopiedInputMax;
  const size_t had = input_.size();
  if (large) {
    input_.resize(had + kLargeReadBytes);
    result = transport_->Read(input_.data() + had, kLargeReadBytes);
    input_.resize(had + result.bytes);
  } else {
    result = transport_->Read(context_.read_buffer.data() + had, context_.read_buffer.size() - had);
  }
  switch (result.state) {
    case Transport::State::kOk:
      last_heard_ = context_.clock.SinceBoot();
      break;
    case Transport::State::kWantRead:
    case Transport::State::kWantWrite:
      Flush();
      return ArmRead();
    case Transport::State::kClosed:
      return Close(CloseReason::kConnectionLost, "closed by the client without DISCONNECT");
    case Transport::State::kError:
      return Close(CloseReason::kConnectionLost, transport_->error());
  }
  if (large) {
    if (input_.size() >= input_wanted_) {
      std::string whole;
      whole.swap(input_);
      Consume(whole);
    }
  } else {
    std::memcpy(context_.read_buffer.data(), input_.data(), had);
    input_.clear();
    Consume({context_.read_buffer.data(), had + result.bytes});
  }
  ArmRead();
}

size_t Session::ReadAheadRoom() const {
  const size_t total_max = static_cast<size_t>(context_.options.pending_bytes_max);
  if (ended_ || stopping_ || input_.size() >= kPausedInputMax || context_.read_ahead_bytes >= total_max) return 0;
  return std::min({kPausedInputMax - input_.size(), total_max - context_.read_ahead_bytes, kReadBufferBytes});
}

void Session::ReadAhead() {
  const size_t room = ReadAheadRoom();
  if (room == 0) return;
  const Transport::Result result = transport_->Read(context_.read_buffer.data(), room);
  if (result.state == Transport::State::kClosed || result.state == Transport::State::kError) {
    // What came before is looked at first: there may be a DISCONNECT in it.
    ended_ = true;
    return;
  }
  if (result.state == Transport::State::kOk) {
    last_heard_ = context_.clock.SinceBoot();
    input_.append(context_.read_buffer.data(), result.bytes);
    read_ahead_ += result.bytes;
    context_.read_ahead_bytes += result.bytes;
    AnswerPings();
  }
  Flush();
  ArmRead();
}

void Session::AnswerPings() {
  const size_t limit = PacketBytesMax();
  while (true) {
    const mqtt::ScanResult scan = mqtt::ScanFrame(std::string_view(input_).substr(scanned_), limit);
    if (scan.state != mqtt::ScanResult::kPacket) return;
    if (scan.frame.type() != mqtt::PacketType::kPingreq || mqtt::DecodeEmpty(scan.frame) != mqtt::Error::kOk) {
      scanned_ += scan.frame.size;
      continue;
    }
    input_.erase(scanned_, scan.frame.size);
    mqtt::AppendPingresp(&output_);
  }
}

void Session::EndReadAhead() {
  scanned_ = 0;
  ended_ = false;
  context_.read_ahead_bytes -= std::exchange(read_ahead_, 0);
}

void Session::Consume(std::string_view data) {
  batch_unix_ms_ = absl::ToUnixMillis(context_.clock.WallNow());
  const size_t pending_before = context_.batcher.pending_bytes();
  const size_t used = Parse(data);
  if (context_.batcher.pending_bytes() != pending_before) context_.flush_soon();
  if (received_ != received_before_batch_) context_.metrics.Received(received_ - received_before_batch_);
  received_before_batch_ = received_;
  if (closed_) return;
  if (used < data.size()) input_.assign(data.substr(used));
  if (paused_) AnswerPings();
  EmitPubacks();
  Flush();
}

size_t Session::Parse(std::string_view data) {
  const size_t limit = PacketBytesMax();
  size_t used = 0;
  input_wanted_ = 0;
  while (!closed_ && used < data.size()) {
    if (Full()) {
      EmitPubacks();  // What waits for no commit does not count: no commit would resume us.
      if (closed_) break;
      if (Full()) {
        paused_ = true;
        break;
      }
    }
    const mqtt::ScanResult scan = mqtt::ScanFrame(data.substr(used), limit);
    if (scan.state == mqtt::ScanResult::kNeedMore) {
      input_wanted_ = scan.packet_size;
      break;
    }
    if (scan.state == mqtt::ScanResult::kError) {
      Close(scan.error == mqtt::Error::kTooLarge ? CloseReason::kTooLarge : CloseReason::kProtocolError,
            mqtt::Text(scan.error));
      break;
    }
    used += scan.frame.size;
    Handle(scan.frame);
  }
  return used;
}

void Session::StopReading() {
  paused_ = true;
  stopping_ = true;
}

void Session::Resume() {
  if (closed_ || !paused_ || stopping_ || Full()) return;
  paused_ = false;
  EndReadAhead();
  last_heard_ = context_.clock.SinceBoot();
  std::string held;
  held.swap(input_);
  if (!held.empty()) Consume(held);
  ArmRead();
}

}  // namespace holdfast::router
