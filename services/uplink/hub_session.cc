#include "services/uplink/hub_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

#include "lib/base/log.h"
#include "lib/mqtt/packet.h"
#include "services/uplink/hub_methods.h"
#include "services/uplink/hub_topics.h"

namespace holdfast::uplink {
namespace {

constexpr size_t kPatchShownMax = 200;

}  // namespace

struct HubSession::Timer {
  explicit Timer(boost::asio::io_context& io) : timer(io) {}
  boost::asio::steady_timer timer;
  absl::Duration at = absl::InfiniteDuration();
};

HubSession::HubSession(const Parts& parts, std::string client, mqtt::Client* connection, bool own, Callbacks callbacks)
    : parts_(parts),
      client_(std::move(client)),
      connection_(connection),
      own_(own),
      callbacks_(std::move(callbacks)),
      twin_(parts.twin_options, parts.twin_rate, parts.random),
      timer_(std::make_unique<Timer>(parts.io)) {
  filters_[kC2d].filter = CloudToDeviceFilter(client_);
  filters_[kMethods].filter = kMethodsFilter;
  filters_[kTwinAnswers].filter = kTwinResponseFilter;
  filters_[kDesired].filter = kDesiredFilter;
}

HubSession::~HubSession() = default;

void HubSession::Begin(Duties duties, bool session_present) {
  duties_ = duties;
  // A device's messages may come at once, of a subscription that the hub has kept.
  has_inbox_ = client_.find('/') == std::string::npos;
  if (has_inbox_) parts_.c2d->OnOpened(client_, this);
  Subscribe(session_present);
}

void HubSession::SetDuties(Duties duties) {
  if (ended_ || duties == duties_) return;
  if (duties.twin && !duties_.twin) told_settled_ = false;
  duties_ = duties;
  Subscribe(false);
  Advance();
}

bool HubSession::Wants(size_t filter) const {
  switch (filter) {
    case kC2d:
      return duties_.cloud_to_device;
    case kMethods:
      return duties_.methods;
    default:
      return duties_.twin;
  }
}

// `also_off`: what is not wanted is unsubscribed though it was not subscribed on this connection.
void HubSession::Subscribe(bool also_off) {
  std::vector<mqtt::Subscription> on;
  std::vector<std::string_view> off;
  const uint16_t id = callbacks_.packet_id();
  for (size_t i = 0; i < kFilters; ++i) {
    if (i == kC2d && !has_inbox_) continue;
    if (i == kMethods && own_) continue;  // its owner's
    Subscribed& s = filters_[i];
    const bool wants = Wants(i);
    if (wants && !s.on) on.push_back({s.filter, 1});
    if (!wants && (s.on || also_off)) off.push_back(s.filter);
    if (wants != s.on) s.waits_for = wants ? id : 0;
    s.on = wants;
  }
  if (!Wants(kTwinAnswers)) twin_ready_ = false;
  if (!on.empty()) mqtt::AppendSubscribe(id, on, connection_->out());
  if (!off.empty()) mqtt::AppendUnsubscribe(callbacks_.packet_id(), off, connection_->out());
  if (!on.empty() || !off.empty()) connection_->Flush();
}

void HubSession::OnSuback(const mqtt::Suback& suback) {
  size_t at = 0;
  bool mine = false;
  for (Subscribed& s : filters_) {
    if (s.waits_for == 0 || s.waits_for != suback.packet_id) continue;
    mine = true;
    s.waits_for = 0;
    const auto code = at < suback.codes.size() ? static_cast<uint8_t>(suback.codes[at]) : mqtt::kSubackFailure;
    ++at;
    if (code != mqtt::kSubackFailure) continue;
    trouble_ = fmt::format("the hub refuses the subscription {}", s.filter);
    spdlog::warn("the hub refuses a subscription client={} filter={}", client_, s.filter);
  }
  if (!mine) return;
  if (trouble_.empty()) callbacks_.on_progress();
  const Subscribed& answers = filters_[kTwinAnswers];
  if (trouble_.empty() && answers.on && answers.waits_for == 0 && !std::exchange(twin_ready_, true)) {
    twin_.OnReady(Now());
  }
  Advance();
}

void HubSession::OnPublish(const mqtt::Publish& publish) {
  if (ended_) return;
  switch (ClassifyHubTopic(publish.topic, client_)) {
    case HubTopicKind::kCloudToDevice:
      if (!has_inbox_) return;
      if (publish.qos == 1) connection_->DeferAck();
      parts_.c2d->OnMessage(client_, publish.packet_id, CloudToDeviceBag(publish.topic, client_), publish.payload);
      return;
    case HubTopicKind::kMethod:
      if (!own_) OnMethod(publish);
      return;
    case HubTopicKind::kTwinResponse:
      OnTwinAnswer(publish);
      return;
    case HubTopicKind::kDesired:
      // Before the document was read it is older than what will be, or comes again with it.
      twin_.OnDesired(publish.payload);
      Advance();
      return;
    case HubTopicKind::kOther:
      return;
  }
}

void HubSession::OnMethod(const mqtt::Publish& publish) {
  const auto call = ParseMethodTopic(publish.topic);
  if (!call.ok()) return;
  const auto answer = [session = weak_from_this(), rid = call->rid](int status, const std::string& payload) {
    const auto self = session.lock();
    if (self && !self->ended_) self->Send(MethodResponseTopic(rid, status), payload);
  };
  if (methods_.size() >= kMethodsMax) {
    answer(HubMethodStatus(absl::ResourceExhaustedError("")),
           R"({"error":"too many methods of this client are under way"})");
    return;
  }
  const auto id = std::make_shared<LoopCalls::CallId>(0);
  *id = parts_.methods->Invoke(client_, call->name, publish.payload,
                               [session = weak_from_this(), id, answer](int status, const std::string& payload) {
                                 if (const auto self = session.lock()) std::erase(self->methods_, *id);
                                 answer(status, payload);
                               });
  if (*id != 0) methods_.push_back(*id);
}

void HubSession::OnTwinAnswer(const mqtt::Publish& publish) {
  const auto answer = ParseTwinResponse(publish.topic);
  if (!answer.ok()) return;
  twin_.OnAnswer(answer->rid, answer->status, publish.payload, Now());
  Advance();
}

void HubSession::OnPending() {
  twin_.OnPending();
  Advance();
}

void HubSession::Advance() {
  if (ended_ || !twin_ready_ || !duties_.twin) return;
  for (;;) {
    const TwinSync::Step step = twin_.Next(Now());
    if (step.what == TwinSync::What::kNothing) break;
    Do(step);
    if (twin_.busy()) break;
  }
  SetTimer();
  if (twin_.settled() && !std::exchange(told_settled_, true)) callbacks_.on_settled();
  if (!twin_.settled()) told_settled_ = false;
}

void HubSession::Do(const TwinSync::Step& step) {
  switch (step.what) {
    case TwinSync::What::kSendPatch:
      return Send(ReportedPatchTopic(step.rid), step.text);
    case TwinSync::What::kRead:
      return Send(TwinGetTopic(step.rid), "");
    default:
      return Apply(step);
  }
}

// One change of the record, by lib/twin.
void HubSession::Apply(const TwinSync::Step& step) {
  struct Outcome {
    TwinSync::Stored stored;
    twin::Conflicts conflicts;
  };
  const auto outcome = std::make_shared<Outcome>();
  const int64_t wall_ms = absl::ToUnixMillis(parts_.clock.WallNow());
  const auto change = [what = step.what, text = step.text, wall_ms,
                       outcome](twin::v1::TwinRecord* record) -> absl::StatusOr<bool> {
    *outcome = {};
    switch (what) {
      case TwinSync::What::kBeginSending: {
        const bool begun = record->has_sending();
        outcome->stored.patch = twin::BeginSending(record);
        return !begun && outcome->stored.patch.has_value();
      }
      // Done already, by an attempt whose fate the store could not tell: there is nothing under way.
      case TwinSync::What::kSent:
        if (!record->has_sending()) return false;
        twin::Sent(record);
        return true;
      case TwinSync::What::kRefused:
        if (!record->has_sending()) return false;
        twin::Refused(text, wall_ms, record);
        return true;
      case TwinSync::What::kTakeDocument: {
        auto conflicts = twin::TakeHubDocument(text, wall_ms, record);
        if (!conflicts.ok()) return conflicts.status();
        outcome->conflicts = *std::move(conflicts);
        return true;
      }
      default: {
        const auto result = twin::TakeHubPatch(text, &outcome->conflicts, record);
        if (!result.ok()) return result.status();
        outcome->stored.result = *result;
        return *result == twin::PatchResult::kTaken;
      }
    }
  };
  if (step.what == TwinSync::What::kRefused) {
    parts_.twin_refusals->Increment();
    spdlog::error(
        "the hub refused reported properties for good; they are set aside in the twin's record client={} "
        "reason=\"{}\"",
        client_, step.text);
  }
  parts_.twins->Apply(
      client_, change,
      [session = weak_from_this(), outcome](const absl::Status& status, const twin::v1::TwinRecord& record) {
        const auto self = session.lock();
        if (!self || self->ended_) return;
        for (const std::string& path : outcome->conflicts) {
          spdlog::warn("a desired property that was set here gives way to the hub's client={} path={}", self->client_,
                       Printable(path, kPatchShownMax));
        }
        outcome->stored.status = status;
        outcome->stored.pending = StateOf(record).pending;
        self->twin_.OnStored(outcome->stored, self->Now());
        if (status.ok() && self->twin_.settled()) self->callbacks_.on_progress();
        self->Advance();
      });
}

void HubSession::SetTimer() {
  const absl::Duration at = twin_.next_tick();
  if (at == absl::InfiniteDuration() || at >= timer_->at) return;
  timer_->at = at;
  timer_->timer.expires_after(absl::ToChronoMicroseconds(std::max(at - Now(), absl::ZeroDuration())) +
                              std::chrono::milliseconds(1));
  timer_->timer.async_wait([session = weak_from_this()](const boost::system::error_code& error) {
    const auto self = session.lock();
    if (error || !self) return;
    self->timer_->at = absl::InfiniteDuration();
    self->Advance();
  });
}

void HubSession::Send(const std::string& topic, std::string_view payload) {
  // QoS 0: what is lost with the connection is asked for again on the next one.
  mqtt::AppendPublish({.topic = topic, .payload = payload}, connection_->out());
  connection_->Flush();
}

bool HubSession::idle() const {
  return methods_.empty() && !twin_.busy() && (!has_inbox_ || parts_.c2d->empty(client_));
}

void HubSession::End() {
  if (std::exchange(ended_, true)) return;
  timer_->timer.cancel();
  if (has_inbox_) parts_.c2d->OnClosed(client_);
  for (const LoopCalls::CallId call : methods_) parts_.methods->Cancel(call);
}

}  // namespace holdfast::uplink
