#include "services/router/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "lib/base/log.h"

namespace holdfast::router {
namespace {

// A remainder up to this size is copied in front of what is read next; a larger one grows where it is.
constexpr size_t kCopiedInputMax = kReadBufferBytes / 4;
constexpr size_t kLargeReadBytes = kReadBufferBytes - kCopiedInputMax;
// Body and properties of a message (IoT Hub MQTT contract: telemetry).
constexpr size_t kMessageBytesMax = 262'144;
constexpr size_t kPacketHeaderMax = 5;
// Bytes that a paused session holds; all those of a thread together hold pending_bytes_max more, at most.
constexpr size_t kPausedInputMax = 64 * 1024;
constexpr std::string_view kTwinUnavailable = "$iothub/twin/res/503/?$rid=";

absl::Duration SilenceMax(uint16_t keep_alive_seconds, absl::Duration max) {
  const absl::Duration keep_alive = keep_alive_seconds == 0 ? max : std::min(max, absl::Seconds(keep_alive_seconds));
  return keep_alive * 1.5;
}

}  // namespace

Session::Session(uint64_t id, AcceptedConnection connection, Client* client, const SessionContext* context)
    : id_(id),
      identity_(connection.user.identity),
      identity_version_(connection.identity_version),
      client_id_(identity_.ClientId()),
      clean_session_(connection.clean_session),
      keep_alive_seconds_(connection.keep_alive_seconds),
      silence_max_(SilenceMax(connection.keep_alive_seconds, context->options.keep_alive_max)),
      ends_at_(context->clock.SinceBoot() + connection.valid_for),
      connected_at_(context->clock.WallNow()),
      context_(*context),
      topics_(identity_),
      envelope_(identity_),
      slot_(std::move(connection.slot)),
      transport_(std::move(connection.transport)),
      client_(client),
      will_(std::move(connection.will)),
      input_(std::move(connection.input)),
      last_heard_(context->clock.SinceBoot()) {}

Session::~Session() = default;

void Session::Start(bool session_present) {
  mqtt::AppendConnack({.session_present = session_present, .code = mqtt::ConnackCode::kAccepted}, &output_);
  std::string pipelined;
  pipelined.swap(input_);
  Flush();
  if (!pipelined.empty()) Consume(pipelined);
  ArmRead();
}

bool Session::Full() const {
  return acks_.size() >= static_cast<size_t>(context_.options.session_inflight_max) ||
         context_.batcher.pending_bytes() >= static_cast<size_t>(context_.options.pending_bytes_max);
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
  const size_t limit = static_cast<size_t>(context_.options.packet_bytes_max) + kPacketHeaderMax;
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
  const size_t limit = static_cast<size_t>(context_.options.packet_bytes_max) + kPacketHeaderMax;
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

void Session::Handle(const mqtt::Frame& frame) {
  uint16_t packet_id = 0;
  mqtt::Error error = mqtt::Error::kOk;
  switch (frame.type()) {
    case mqtt::PacketType::kPublish:
      return HandlePublish(frame);
    case mqtt::PacketType::kSubscribe:
      return HandleSubscribe(frame);
    case mqtt::PacketType::kUnsubscribe:
      return HandleUnsubscribe(frame);
    case mqtt::PacketType::kPingreq:
      error = mqtt::DecodeEmpty(frame);
      if (error == mqtt::Error::kOk) mqtt::AppendPingresp(&output_);
      break;
    case mqtt::PacketType::kPuback:
      // Nothing is sent at QoS 1 yet, so there is nothing that it could acknowledge.
      error = mqtt::DecodePacketId(frame, &packet_id);
      break;
    case mqtt::PacketType::kDisconnect:
      error = mqtt::DecodeEmpty(frame);
      if (error == mqtt::Error::kOk) return Close(CloseReason::kDisconnect, "goodbye");
      break;
    default:
      return Close(CloseReason::kProtocolError,
                   fmt::format("{} is not to be sent here (MQTT 3.1.1, 3.1.0-2, 4.8)", mqtt::Name(frame.type())));
  }
  if (error != mqtt::Error::kOk) Close(CloseReason::kProtocolError, mqtt::Text(error));
}

const PublishTopic& Session::Classify(std::string_view topic) {
  if (topic == last_topic_ && !last_topic_.empty()) return last_kind_;
  last_topic_.assign(topic);
  last_kind_ = topics_.Classify(last_topic_);
  return last_kind_;
}

void Session::HandlePublish(const mqtt::Frame& frame) {
  mqtt::Publish publish;
  if (const mqtt::Error error = mqtt::DecodePublish(frame, &publish); error != mqtt::Error::kOk) {
    return Close(CloseReason::kProtocolError, mqtt::Text(error));
  }
  if (publish.qos == 2) return Close(CloseReason::kQos2, "PUBLISH of QoS 2 is not supported");
  const PublishTopic& topic = Classify(publish.topic);
  switch (topic.kind) {
    case PublishKind::kTelemetry:
      return HandleTelemetry(publish, topic.bag);
    case PublishKind::kTwinRequest:
      return HandleTwinRequest(publish, topic.rid);
    case PublishKind::kMethodResponse:
      // No method is called from here, so this answers nothing; as after a time-out, that is no fault of the client's.
      acks_.Push(publish.packet_id, 0);
      return;
    case PublishKind::kForbidden:
      return Close(CloseReason::kForbiddenTopic, fmt::format("{} topic={}", topic.reason, Printable(publish.topic)));
  }
}

void Session::HandleTelemetry(const mqtt::Publish& publish, std::string_view bag) {
  if (publish.payload.size() + bag.size() > kMessageBytesMax) {
    return Close(CloseReason::kTooLarge, "message is larger than 262144 bytes");
  }
  ++received_;
  if (publish.qos == 1 && !clean_session_) {
    if (publish.dup && client_->window.Contains(publish.packet_id, bag, publish.payload)) {
      // Stored, or on its way there since an earlier connection: acknowledged when that is certain.
      const uint64_t ticket = acks_.Push(publish.packet_id, 0);
      acks_.SetOutstanding(ticket, context_.batcher.AddBarrier(id_, ticket));
      context_.metrics.Duplicate();
      return;
    }
    client_->window.Remember(publish.packet_id, bag, publish.payload);
    client_->window_changed = true;
  }
  const EnvelopeFields fields{.property_bag = bag,
                              .body = publish.payload,
                              .received_unix_ms = batch_unix_ms_,
                              .retain = publish.retain,
                              .packet_id = clean_session_ ? uint16_t{0} : publish.packet_id};
  uint32_t places = 0;
  const uint64_t ticket = acks_.Push(publish.packet_id, 0);
  Store(fields, id_, ticket, &places);
  acks_.SetOutstanding(ticket, places);
}

void Session::Store(const EnvelopeFields& fields, uint64_t session, uint64_t ticket, uint32_t* places) {
  const size_t size = envelope_.Size(fields);
  for (const Endpoint& endpoint : context_.routes.Route({.device_id = identity_.device_id,
                                  .module_id = identity_.module_id,
                                  .property_bag = fields.property_bag,
                                  .body = fields.body})) {
    envelope_.Write(fields, context_.batcher.Add(endpoint, size, session, ticket));
    ++*places;
  }
}

void Session::HandleTwinRequest(const mqtt::Publish& publish, std::string_view rid) {
  acks_.Push(publish.packet_id, 0);
  const auto is_response = [](const auto& subscription) { return subscription.first == kTwinResponseFilter; };
  if (rid.empty() || std::none_of(client_->subscriptions.begin(), client_->subscriptions.end(), is_response)) return;
  const std::string topic = fmt::format("{}{}", kTwinUnavailable, rid);
  // A topic made of one that was valid is valid, unless it became too long.
  if (mqtt::AppendPublish({.topic = topic}, &output_) != mqtt::Error::kOk) {
    Close(CloseReason::kProtocolError, "$rid of a twin request is too long");
  }
}

void Session::HandleSubscribe(const mqtt::Frame& frame) {
  mqtt::Subscribe subscribe;
  if (const mqtt::Error error = mqtt::DecodeSubscribe(frame, &subscribe); error != mqtt::Error::kOk) {
    return Close(CloseReason::kProtocolError, mqtt::Text(error));
  }
  std::string codes;
  bool changed = false;
  auto& held = client_->subscriptions;
  for (const mqtt::Subscription& wanted : subscribe.subscriptions) {
    const uint8_t qos = std::min<uint8_t>(wanted.qos, 1);
    const auto it = std::find_if(held.begin(), held.end(), [&](const auto& s) { return s.first == wanted.filter; });
    if (it != held.end()) {
      changed = changed || it->second != qos;
      it->second = qos;
    } else if (topics_.MaySubscribe(wanted.filter) &&
               held.size() < static_cast<size_t>(context_.options.subscriptions_max)) {
      held.emplace_back(wanted.filter, qos);
      changed = true;
    } else {
      spdlog::info("subscription refused client_id={} filter={}", Printable(client_id_), Printable(wanted.filter));
      codes.push_back(static_cast<char>(mqtt::kSubackFailure));
      continue;
    }
    codes.push_back(static_cast<char>(qos));
  }
  std::string suback;
  mqtt::AppendSuback(subscribe.packet_id, codes, &suback);
  Answer(changed, suback);
}

void Session::Answer(bool changed, const std::string& packet) {
  if (changed && !clean_session_) {
    ++saving_;
    context_.save(id_);
  }
  (saving_ > 0 ? held_answers_ : output_) += packet;
  if (held_answers_.size() > static_cast<size_t>(context_.options.output_bytes_max)) {
    Close(CloseReason::kSlowReader, "does not wait for its subscriptions to be stored");
  }
}

void Session::OnSaved() {
  if (closed_ || --saving_ > 0) return;
  output_ += std::exchange(held_answers_, "");
  Flush();
}

std::vector<uint16_t> Session::OpenIds() const {
  std::vector<uint16_t> ids;
  acks_.ForEachOpen([&ids](uint16_t packet_id) { ids.push_back(packet_id); });
  return ids;
}

void Session::HandleUnsubscribe(const mqtt::Frame& frame) {
  mqtt::Unsubscribe unsubscribe;
  if (const mqtt::Error error = mqtt::DecodeUnsubscribe(frame, &unsubscribe); error != mqtt::Error::kOk) {
    return Close(CloseReason::kProtocolError, mqtt::Text(error));
  }
  size_t erased = 0;
  for (const std::string_view filter : unsubscribe.filters) {
    erased += std::erase_if(client_->subscriptions, [&](const auto& s) { return s.first == filter; });
  }
  std::string unsuback;
  mqtt::AppendUnsuback(unsubscribe.packet_id, &unsuback);
  Answer(erased > 0, unsuback);
}

void Session::OnCommitted(uint64_t first_ticket, uint32_t count) {
  acks_.Committed(first_ticket, count);
  EmitPubacks();
}

void Session::EmitPubacks() {
  acknowledged_ += acks_.PopDone(&output_);
}

void Session::Flush() {
  if (closed_) return;
  size_t sent = 0;
  while (sent < output_.size()) {
    const Transport::Result result = transport_->Write(output_.data() + sent, output_.size() - sent);
    if (result.state == Transport::State::kOk) {
      sent += result.bytes;
      continue;
    }
    if (result.state == Transport::State::kError || result.state == Transport::State::kClosed) {
      return Close(CloseReason::kConnectionLost, transport_->error());
    }
    break;
  }
  output_.erase(0, sent);
  if (output_.empty()) return;
  if (output_.size() > static_cast<size_t>(context_.options.output_bytes_max)) {
    return Close(CloseReason::kSlowReader, "does not read what is sent to it");
  }
  if (writing_) return;
  writing_ = true;
  transport_->socket().async_wait(boost::asio::ip::tcp::socket::wait_write,
                                  [self = shared_from_this()](const boost::system::error_code&) {
                                    self->writing_ = false;
                                    self->Flush();
                                  });
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

void Session::CheckTimers() {
  const absl::Duration now = context_.clock.SinceBoot();
  if (now >= ends_at_) {
    Close(CloseReason::kTokenExpired, "the token or the certificate of its CONNECT has expired");
  } else if (!paused_ && now - last_heard_ > silence_max_) {
    Close(CloseReason::kKeepAlive, fmt::format("silent for {}", absl::FormatDuration(now - last_heard_)));
  }
}

void Session::PublishWill() {
  uint32_t places = 0;
  Store({.is_will = true,
         .property_bag = will_->property_bag,
         .body = will_->body,
         .received_unix_ms = absl::ToUnixMillis(context_.clock.WallNow()),
         .retain = will_->retain},
        /*session=*/0, /*ticket=*/0, &places);
  will_.reset();
  context_.flush_soon();
}

void Session::Close(CloseReason reason, std::string_view detail) {
  if (closed_) return;
  closed_ = true;
  EndReadAhead();
  const auto self = shared_from_this();
  EmitPubacks();
  // What doesn't fit into the socket's buffer is lost with the connection.
  if (!output_.empty()) transport_->Write(output_.data(), output_.size());
  spdlog::info("client disconnected client_id={} peer={} reason={} detail=\"{}\" received={} acknowledged={}",
               Printable(client_id_), transport_->peer(), Word(reason), detail, received_, acknowledged_);
  if (will_.has_value() && PublishesWill(reason)) PublishWill();
  transport_->ShutdownSend();
  transport_->Close();
  slot_.reset();
  context_.metrics.Disconnect(reason);
  client_ = nullptr;
  context_.on_closed(id_, reason);
}

router::v1::Session Session::Describe() const {
  router::v1::Session out;
  out.set_client_id(client_id_);
  out.set_peer(transport_->peer());
  out.mutable_connected_at()->set_seconds(absl::ToUnixSeconds(connected_at_));
  out.set_received(received_);
  out.set_acknowledged(acknowledged_);
  out.set_keep_alive_seconds(keep_alive_seconds_);
  out.set_clean_session(clean_session_);
  for (const auto& [filter, qos] : client_->subscriptions) out.add_subscriptions(filter);
  out.set_tls(transport_->tls());
  return out;
}

}  // namespace holdfast::router
