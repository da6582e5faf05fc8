// What the packets of a connected device mean.
#include <fmt/format.h>

#include <cstring>

#include "lib/base/log.h"
#include "lib/mqtt/property_bag.h"
#include "tests/hubsim/device_connection.h"
#include "tests/hubsim/device_endpoint.h"

namespace holdfast::hubsim {
namespace {

using std::chrono::steady_clock;

constexpr std::string_view kWillProperty = "iothub-MessageType=Will";

int64_t NowUs() {
  return std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now().time_since_epoch()).count();
}

}  // namespace

bool DeviceConnection::Consume() {
  if (!connected()) {
    if (!TakeConnect()) return false;
    if (!connected()) return true;
  }
  std::string_view rest(in_.data(), in_size_);
  bool goes_on = true;
  while (goes_on) {
    const mqtt::ScanResult scan = mqtt::ScanFrame(rest, kDevicePacketBytesMax);
    if (scan.state == mqtt::ScanResult::kNeedMore) break;
    goes_on = scan.state == mqtt::ScanResult::kPacket ? OnPacket(scan.frame) : Broken(mqtt::Text(scan.error));
    rest.remove_prefix(scan.frame.size);
  }
  if (!rest.empty()) std::memmove(in_.data(), rest.data(), rest.size());
  in_size_ = rest.size();
  return goes_on && !closed_;
}

bool DeviceConnection::OnPacket(const mqtt::Frame& frame) {
  uint16_t packet_id = 0;
  switch (frame.type()) {
    case mqtt::PacketType::kPublish:
      return OnPublish(frame);
    case mqtt::PacketType::kPuback:
      if (mqtt::DecodePacketId(frame, &packet_id) != mqtt::Error::kOk) return Broken("bad PUBACK");
      endpoint_.OnPuback(this, packet_id);
      return true;
    case mqtt::PacketType::kSubscribe:
      return OnSubscribe(frame);
    case mqtt::PacketType::kUnsubscribe:
      return OnUnsubscribe(frame);
    case mqtt::PacketType::kPingreq:
      if (mqtt::DecodeEmpty(frame) != mqtt::Error::kOk) return Broken("bad PINGREQ");
      mqtt::AppendPingresp(&out_);
      return true;
    case mqtt::PacketType::kDisconnect:
      will_topic_.clear();
      Close("disconnect");
      return false;
    default:
      return Broken(fmt::format("unexpected {}", mqtt::Name(frame.type())));
  }
}

bool DeviceConnection::OnPublish(const mqtt::Frame& frame) {
  mqtt::Publish publish;
  if (const auto error = mqtt::DecodePublish(frame, &publish); error != mqtt::Error::kOk)
    return Broken(mqtt::Text(error));
  if (publish.qos > 1) return Broken("QoS 2");
  const Topic topic = topics_->Classify(publish.topic);
  switch (topic.kind) {
    case TopicKind::kTelemetry:
      return OnTelemetry(publish, topic);
    case TopicKind::kForbidden:
      return Broken(fmt::format("{}: {}", topic.reason, Printable(publish.topic)));
    default:
      break;
  }
  // The request was taken, whatever comes of it.
  if (publish.qos == 1) mqtt::AppendPuback(publish.packet_id, &out_);
  endpoint_.OnRequest(this, topic, publish.payload);
  return !closed_;
}

bool DeviceConnection::OnTelemetry(const mqtt::Publish& publish, const Topic& topic) {
  if (publish.payload.size() + (publish.topic.size() - topic.bag_at) > kMessageBytesMax)
    return Broken("message too large");
  bool acknowledge = true;
  bool record = true;
  bool reset = false;
  if (!state_.faults.empty()) {
    if (Fault* f = state_.faults.Find(FaultKind::kDropAcks, claim_.device_id, claim_.module_id);
        f != nullptr && ++f->seen > f->after) {
      ++f->struck;
      acknowledge = false;
      record = f->record;
    }
    if (Fault* f = state_.faults.Find(FaultKind::kReset, claim_.device_id, claim_.module_id); f != nullptr) {
      ++f->seen;
      if (f->after - f->seen < f->unacked) acknowledge = false;
      reset = f->seen == f->after;
      if (reset) {
        ++f->struck;
        f->seen = 0;
      }
    }
  }
  if (record) {
    state_.events->Append({.sender = sender_,
                           .topic = publish.topic,
                           .bag_at = topic.bag_at,
                           .body = publish.payload,
                           .qos = publish.qos,
                           .dup = publish.dup,
                           .retain = publish.retain},
                          endpoint_.BatchTime());
    ++messages_;
    ++state_.counters.messages;
    state_.counters.message_bytes += publish.payload.size();
  }
  if (publish.qos == 1 && acknowledge) Ack(publish.packet_id);
  if (!reset) return !closed_;
  // The acknowledgements of those before still go out.
  end_ = End::kReset;
  end_reason_ = "fault";
  return false;
}

void DeviceConnection::Ack(uint16_t packet_id) {
  ++state_.counters.pubacks;
  const int64_t due = state_.faults.empty() ? 0 : AckDueUs();
  if (closed_) return;
  if (due == 0 && delayed_acks_.empty()) return mqtt::AppendPuback(packet_id, &out_);
  if (delayed_acks_.size() >= kDelayedAcksMax) return Close("fault");
  delayed_acks_.push_back({.due_us = due, .packet_id = packet_id});
  if (delayed_acks_.size() == 1) SendDueAcks();
}

// When an acknowledgement may go: microseconds of the steady clock, 0 = now.
int64_t DeviceConnection::AckDueUs() {
  int64_t due = 0;
  if (Fault* f = state_.faults.Find(FaultKind::kDelayAcks, claim_.device_id, claim_.module_id);
      f != nullptr && ++f->seen > f->after) {
    ++f->struck;
    due = NowUs() + f->ms * 1000;
  }
  if (Fault* f = state_.faults.Find(FaultKind::kThrottle, claim_.device_id, claim_.module_id);
      f != nullptr && ++f->seen > f->after) {
    ++f->struck;
    const int64_t now = NowUs();
    f->next_ack_us = std::max(f->next_ack_us, now) + 1'000'000 / static_cast<int64_t>(f->rate);
    if (f->disconnect_after_ms > 0 && f->next_ack_us - now > f->disconnect_after_ms * 1000) {
      f->next_ack_us = 0;
      Close("throttled");
    }
    due = std::max(due, f->next_ack_us);
  }
  return due;
}

void DeviceConnection::SendDueAcks() {
  const int64_t now = NowUs();
  while (!delayed_acks_.empty() && delayed_acks_.front().due_us <= now) {
    mqtt::AppendPuback(delayed_acks_.front().packet_id, &out_);
    delayed_acks_.pop_front();
  }
  if (delayed_acks_.empty()) return Flush();
  ack_timer_.expires_at(steady_clock::time_point(std::chrono::microseconds(delayed_acks_.front().due_us)));
  ack_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || self == nullptr || self->closed_) return;
    self->SendDueAcks();
  });
  Flush();
}

bool DeviceConnection::OnSubscribe(const mqtt::Frame& frame) {
  mqtt::Subscribe subscribe;
  if (const auto error = mqtt::DecodeSubscribe(frame, &subscribe); error != mqtt::Error::kOk) {
    return Broken(mqtt::Text(error));
  }
  std::string codes;
  uint8_t added = 0;
  uint8_t added_qos1 = 0;
  for (const mqtt::Subscription& subscription : subscribe.subscriptions) {
    bool foreign = false;
    const Filter filter = topics_->ClassifyFilter(subscription.filter, &foreign);
    if (foreign) return Broken(fmt::format("subscription to another identity's {}", Printable(subscription.filter)));
    if (filter == kNoFilter) spdlog::info("subscription not granted filter={}", Printable(subscription.filter));
    codes += static_cast<char>(filter == kNoFilter ? mqtt::kSubackFailure : std::min<uint8_t>(subscription.qos, 1));
    added |= filter;
    if (subscription.qos > 0) added_qos1 |= filter;
  }
  mqtt::AppendSuback(subscribe.packet_id, codes, &out_);
  endpoint_.OnSubscribed(this, added, added_qos1);
  return !closed_;
}

bool DeviceConnection::OnUnsubscribe(const mqtt::Frame& frame) {
  mqtt::Unsubscribe unsubscribe;
  if (const auto error = mqtt::DecodeUnsubscribe(frame, &unsubscribe); error != mqtt::Error::kOk) {
    return Broken(mqtt::Text(error));
  }
  uint8_t removed = 0;
  for (const std::string_view filter : unsubscribe.filters) {
    bool foreign = false;
    removed |= topics_->ClassifyFilter(filter, &foreign);
  }
  mqtt::AppendUnsuback(unsubscribe.packet_id, &out_);
  endpoint_.OnUnsubscribed(this, removed);
  return true;
}

void DeviceConnection::Send(std::string_view topic, std::string_view payload, uint8_t qos, uint16_t packet_id,
                            bool dup) {
  if (closed_) return;
  const auto error = mqtt::AppendPublish(
      {.topic = topic, .payload = payload, .packet_id = packet_id, .qos = qos, .dup = dup && qos > 0}, &out_);
  if (error != mqtt::Error::kOk)
    spdlog::warn("message not sent topic={} error={}", Printable(topic), mqtt::Text(error));
}

void DeviceConnection::PublishWill() {
  if (will_topic_.empty()) return;
  std::string topic = will_topic_.substr(0, will_bag_at_);
  if (!topic.ends_with('/')) topic += '/';
  const size_t bag_at = topic.size();
  topic += mqtt::TrimBag(std::string_view(will_topic_).substr(will_bag_at_));
  if (topic.size() > bag_at) topic += '&';
  topic += kWillProperty;
  state_.events->Append({.sender = sender_, .topic = topic, .bag_at = bag_at, .body = will_body_},
                        state_.clock.WallNow());
  ++state_.counters.messages;
  will_topic_.clear();
  state_.events->Notify();
}

}  // namespace holdfast::hubsim
