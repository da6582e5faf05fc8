#include "services/router/session.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/log.h"

namespace holdfast::router {
namespace {

absl::Duration SilenceMax(uint16_t keep_alive_seconds, absl::Duration max) {
  const absl::Duration keep_alive = keep_alive_seconds == 0 ? max : std::min(max, absl::Seconds(keep_alive_seconds));
  return keep_alive * 1.5;
}

}  // namespace

Session::Session(uint64_t id, AcceptedConnection connection, Client* client, const SessionContext* context)
    : id_(id),
      identity_(connection.user.identity),
      actor_(std::move(connection.actor)),
      links_(std::move(connection.links)),
      identity_version_(connection.identity_version),
      client_id_(identity_.ClientId()),
      client_type_(connection.user.client_type),
      model_id_(connection.user.model_id),
      clean_session_(connection.clean_session),
      keep_alive_seconds_(connection.keep_alive_seconds),
      silence_max_(SilenceMax(connection.keep_alive_seconds, context->options.keep_alive_max)),
      ends_at_(context->clock.SinceBoot() + connection.valid_for),
      connected_at_(context->clock.WallNow()),
      context_(*context),
      topics_(identity_),
      envelope_(identity_, !actor_.empty()),
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
  if (closed_) return;
  interests_ = topics_.InterestsOf(client_->subscriptions);
  context_.on_interests(*this);
  if (!pipelined.empty()) Consume(pipelined);
  ArmRead();
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
      error = mqtt::DecodePacketId(frame, &packet_id);
      if (error == mqtt::Error::kOk) context_.deliveries.OnPuback(*this, packet_id);
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

std::vector<uint16_t> Session::OpenIds() const {
  std::vector<uint16_t> ids;
  acks_.ForEachOpen([&ids](uint16_t packet_id) { ids.push_back(packet_id); });
  return ids;
}

void Session::OnCommitted(uint64_t first_ticket, uint32_t count) {
  acks_.Committed(first_ticket, count);
  EmitPubacks();
}

void Session::EmitPubacks() {
  acknowledged_ += acks_.PopDone(&output_);
}

void Session::Send(std::string_view topic, std::string_view payload) {
  if (closed_) return;
  if (mqtt::AppendPublish({.topic = topic, .payload = payload}, &output_) != mqtt::Error::kOk) {
    return Close(CloseReason::kProtocolError, "asks for an answer on a topic that is too long");
  }
  Flush();
}

bool Session::SendIfRoom(std::string_view topic, std::string_view payload) {
  if (closed_ || output_.size() > static_cast<size_t>(context_.options.output_bytes_max) / 2) return false;
  Send(topic, payload);
  return true;
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
  delivery_bytes_ = std::min(delivery_bytes_, output_.size());
  if (output_.empty()) return;
  if (output_.size() - delivery_bytes_ > static_cast<size_t>(context_.options.output_bytes_max)) {
    return Close(CloseReason::kSlowReader, "does not read what is sent to it");
  }
  if (writing_) return;
  writing_ = true;
  transport_->socket().async_wait(boost::asio::ip::tcp::socket::wait_write,
                                  [self = shared_from_this()](const boost::system::error_code&) {
                                    self->writing_ = false;
                                    self->Flush();
                                    if (self->closed_ || !self->output_.empty()) return;
                                    self->context_.deliveries.OnWritten(*self);
                                  });
}

void Session::CheckTimers() {
  const absl::Duration now = context_.clock.SinceBoot();
  if (now >= ends_at_) {
    Close(CloseReason::kTokenExpired, "the token or the certificate of its CONNECT has expired");
  } else if (!paused_ && now - last_heard_ > silence_max_) {
    Close(CloseReason::kKeepAlive, fmt::format("silent for {}", absl::FormatDuration(now - last_heard_)));
  }
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
  context_.on_closing(*this);
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
  out.set_by_gateway(actor_);
  return out;
}

}  // namespace holdfast::router
