// What Session makes of a PUBLISH, and of its client's will.
#include <fmt/format.h>

#include "lib/base/log.h"
#include "services/router/delivery_packet.h"
#include "services/router/session.h"

namespace holdfast::router {
namespace {

// Body and properties of a message (IoT Hub MQTT contract: telemetry).
constexpr size_t kMessageBytesMax = 262'144;

}  // namespace

const PublishTopic& Session::Classify(std::string_view topic) {
  if (topic == last_topic_ && !last_topic_.empty()) return last_kind_;
  last_topic_.assign(topic);
  last_kind_ = topics_.Classify(last_topic_);
  last_hops_ = 0;
  if (last_kind_.kind == PublishKind::kTelemetry && TakeHops(last_kind_.bag, &last_hops_, &last_bag_)) {
    last_kind_.bag = last_bag_;
  }
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
    case PublishKind::kTwinGet:
      acks_.Push(publish.packet_id, 0);
      // Without that subscription nobody hears the answer.
      if (interests_.twin_responses) context_.twins.OnGet(*this, topic.rid);
      return;
    case PublishKind::kReportedPatch:
      acks_.Push(publish.packet_id, 0);
      return context_.twins.OnReportedPatch(*this, interests_.twin_responses ? topic.rid : "", publish.payload);
    case PublishKind::kMethodResponse:
      acks_.Push(publish.packet_id, 0);
      return context_.methods.OnResponse(*this, publish.topic, publish.payload);
    case PublishKind::kForbidden:
      return Close(CloseReason::kForbiddenTopic, fmt::format("{} topic={}", topic.reason, Printable(publish.topic)));
  }
}

void Session::HandleTelemetry(const mqtt::Publish& publish, std::string_view bag) {
  const size_t added = actor_.empty() ? 0 : kGatewayPropertyBytes;
  if (publish.payload.size() + bag.size() > kMessageBytesMax + added) {
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
                              .packet_id = clean_session_ ? uint16_t{0} : publish.packet_id,
                              .hops = last_hops_};
  const uint64_t ticket = acks_.Push(publish.packet_id, 0);
  acks_.SetOutstanding(ticket, Store(fields, id_, ticket));
}

uint32_t Session::Store(EnvelopeFields fields, uint64_t session, uint64_t ticket) {
  routes::NoMatch no_match = routes::NoMatch::kNone;
  const Routes::Copies copies = context_.routes->Route({.device_id = identity_.device_id,
                                                        .module_id = identity_.module_id,
                                                        .property_bag = fields.property_bag,
                                                        .body = fields.body,
                                                        .received_unix_ms = fields.received_unix_ms},
                                                       &no_match);
  if (copies.empty()) {
    context_.metrics.Dropped(no_match);
    return 0;
  }
  const EnvelopeKind kind = fields.kind;
  const uint32_t hops = fields.hops;
  // By the identifier a copy in the queue is taken for all of them after a restart: not where there are others, which
  // may be missing (P1).
  if (copies.size() > 1) fields.packet_id = 0;
  uint32_t places = 0;
  for (const Copy* copy : copies) {
    if (copy->to_client() && hops >= static_cast<uint32_t>(context_.options.hops_max)) {
      context_.metrics.DroppedForHops(client_id_, copy->endpoint.queue, hops);
      continue;
    }
    fields.kind = copy->to_inbox && kind == EnvelopeKind::kTelemetry ? EnvelopeKind::kCloudToDevice : kind;
    fields.input_name = copy->input_name;
    fields.hops = copy->to_client() ? hops : 0;
    envelope_.Write(fields, context_.batcher.Add(copy->endpoint, envelope_.Size(fields), session, ticket));
    ++places;
  }
  return places;
}

void Session::PublishWill() {
  Store({.kind = EnvelopeKind::kWill,
         .property_bag = will_->property_bag,
         .body = will_->body,
         .received_unix_ms = absl::ToUnixMillis(context_.clock.WallNow()),
         .retain = will_->retain},
        /*session=*/0, /*ticket=*/0);
  will_.reset();
  context_.flush_soon();
}

}  // namespace holdfast::router
