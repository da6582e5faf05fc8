// HubUpstream's connections of the identities that it speaks for: opened, filled, drained, closed, and what it makes of
// their ends.
#include <fmt/format.h>

#include <utility>

#include "lib/base/log.h"
#include "lib/mqtt/packet.h"
#include "services/uplink/hub_upstream.h"
#include "services/uplink/hub_upstream_counters.h"

namespace holdfast::uplink {
namespace {

// What a child's connection reads into, and gathers for one write: there may be a thousand of them.
constexpr size_t kChildReadBytes = 2 << 10;
constexpr size_t kChildOutBytesMax = 64 << 10;
// An identity that the hub called gone is tried again after so long, or when a snapshot was taken.
constexpr absl::Duration kGoneInterval = absl::Minutes(5);
// From this refusal of the same message on, it travels alone, so that it is known which one the hub means.
constexpr int kAloneAfterRefusals = 2;
// A connection that should end waits so long for what is under way on it.
constexpr absl::Duration kDrainMax = absl::Seconds(10);

iothub::Identity ToIdentity(const std::string& name) {
  const size_t slash = name.find('/');
  if (slash == std::string::npos) return {name, ""};
  return {name.substr(0, slash), name.substr(slash + 1)};
}

std::string Describe(const mqtt::Closed& closed) {
  return fmt::format("{}: {}", mqtt::Name(closed.stage), std::string(closed.status.message()));
}

}  // namespace

void HubUpstream::Fill(LaneId lane) {
  Child& c = child(lane);
  if (!c.connection || !c.connection->open() || c.draining || stopping_) return;
  Window& window = host_->window();
  Window::DeadLetters dead;
  const uint32_t most = c.refusals >= kAloneAfterRefusals ? 1 : c.pace.window();
  const auto filled = window.Fill(lane, most, kChildOutBytesMax, c.connection->out(), &dead);
  if (!dead.empty()) host_->SetAside(std::move(dead));
  if (filled.packets == 0) return;
  c.pace.OnSent(window.lane_sent(lane), Now());
  host_->Sent(filled);
  c.connection->Flush();
}

void HubUpstream::OnOpen(LaneId lane, bool session_present) {
  counters_->identity_connects.Increment();
  absl::Duration from = absl::InfiniteDuration();
  absl::Duration by = absl::InfiniteDuration();
  if (token_) {
    from = token_->renew_from();
    by = token_->renew_by();
  }
  Child& c = child(lane);
  c.refused = false;
  plan_.OnOpen(lane, Now(), from, by);
  Fill(lane);
  exchange_.Open(host_->window().name(lane), c.connection->client(), session_present,
                 [this, lane] { return SubscribeId(lane, &child(lane).subscribes); });
}

void HubUpstream::OnPubacks(LaneId lane, std::span<const uint16_t> packet_ids) {
  const size_t news = host_->window().OnPubacks(lane, packet_ids);
  if (news > 0) Progress(lane, news);
}

void HubUpstream::Progress(LaneId lane, size_t messages) {
  Window& window = host_->window();
  Child& c = child(lane);
  c.progress = true;
  c.refusals = 0;
  c.trouble.clear();
  delivered_ += messages;
  plan_.OnProgress(lane);
  c.pace.OnDone(window.lane_done(lane), Now());
  if (window.empty(lane)) plan_.SetWork(lane, false, Now());
  Fill(lane);
  CloseIfDrained(lane);
  host_->Delivered(messages);
}

void HubUpstream::OpenChild(LaneId lane) {
  const std::string& name = host_->window().name(lane);
  const auto parents = parents_.find(ToIdentity(name).device_id);
  const Login login = ChildLogin(
      gateway_, name, parents == parents_.end() ? "" : parents->second,
      {.version = options_.version, .client_type = exchange_.client_type(name), .model_id = exchange_.model_id(name)});
  HubConnection::Options options{.client = options_.client,
                                 .ack_timeout = options_.connectivity.ack_timeout,
                                 .ping_timeout = options_.connectivity.ping_timeout,
                                 .stall_timeout = options_.connectivity.stall_timeout};
  options.client.client_id = login.client_id;
  options.client.user_name = login.user_name;
  options.client.password = token_ ? token_->password : "";
  options.client.tls_context = tls_;
  options.client.read_bytes = kChildReadBytes;
  options.client.ping_timeout = std::chrono::milliseconds(absl::ToInt64Milliseconds(options.ping_timeout));
  if (!link_->numeric_address().empty()) options.client.addresses = {link_->numeric_address()};
  Child& c = child(lane);
  c.draining = false;
  c.connection =
      std::make_unique<HubConnection>(io_, std::move(options), lane, static_cast<HubConnection::Owner*>(this));
}

void HubUpstream::Drain(LaneId lane) {
  Child& c = child(lane);
  c.draining = true;
  c.drained_at = Now();
  CloseIfDrained(lane);
}

// What is under way for the client (a method's answer, a message that is being stored) is waited for, but not long.
void HubUpstream::CloseIfDrained(LaneId lane) {
  const Child& c = child(lane);
  if (!c.draining || !c.connection || host_->window().in_flight(lane) > 0) return;
  if (exchange_.idle(host_->window().name(lane)) || Now() - c.drained_at >= kDrainMax) c.connection->Close();
}

// Whatever was in flight waits again.
void HubUpstream::CloseChild(LaneId lane, bool failed) {
  Child& c = child(lane);
  exchange_.Close(host_->window().name(lane));
  c.connection.reset();
  c.draining = false;
  c.pace.OnClosed();
  host_->window().Rewind(lane);
  plan_.OnClosed(lane, failed, Now());
}

void HubUpstream::OnClosed(LaneId lane, const mqtt::Closed& closed, bool was_open) {
  Child& c = child(lane);
  const bool drained = closed.reason == mqtt::CloseReason::kLocal || (c.draining && was_open);
  if (was_open && !drained && client_) {
    c.pace.OnThrottled();
    if (closed.reason == mqtt::CloseReason::kLost || closed.reason == mqtt::CloseReason::kProtocol) CountRefusal(lane);
  }
  const bool hopeless = c.refusals >= options_.message_refusals_max;
  if (hopeless) plan_.OnProgress(lane);  // what comes behind it does not wait long
  CloseChild(lane, !drained);
  if (!drained) SetTrouble(lane, Describe(closed));
  if (hopeless) {
    SetTrouble(lane, fmt::format("the hub closed the connection {} times on the same message", c.refusals));
    spdlog::error("a message is set aside, since the hub does not take it identity={} reason=\"{}\"",
                  host_->window().name(lane), c.trouble);
    c.refusals = 0;
    SetAside(lane, 1, c.trouble);
  }
  if (closed.reason == mqtt::CloseReason::kRefused) {
    counters_->refused.Increment();
    c.refused = IsNotAuthorized(closed.code);
    if (c.refused) {
      sync_.Refresh({ToIdentity(host_->window().name(lane))});
    } else {
      plan_.OnBusy();
      c.pace.OnThrottled();
    }
  }
  ForgetIfIdle(lane);
  SetTimer();
}

// The hub closed the connection. On the same message as the last time, with nothing acknowledged in between?
void HubUpstream::CountRefusal(LaneId lane) {
  const Window& window = host_->window();
  if (window.in_flight(lane) == 0) return;
  Child& c = child(lane);
  const uint64_t message = window.lane_done(lane);
  c.refusals = c.refusals > 0 && c.refused_message == message ? c.refusals + 1 : 1;
  c.refused_message = message;
}

void HubUpstream::SetTrouble(LaneId lane, std::string reason) {
  Child& c = child(lane);
  const std::string& name = host_->window().name(lane);
  if (c.trouble.empty()) {
    c.trouble_since = clock_.WallNow();
    spdlog::warn("an identity's connection to the hub ended; trying again identity={} reason=\"{}\"", name, reason);
  }
  c.trouble = std::move(reason);
}

void HubUpstream::SetAside(LaneId lane, size_t count_max, const std::string& reason) {
  Window::DeadLetters dead;
  const size_t count = host_->window().SetAside(lane, count_max, reason, &dead);
  counters_->set_aside.Increment(static_cast<double>(count));
  host_->SetAside(std::move(dead));
  if (host_->window().waiting(lane) == 0) plan_.SetWork(lane, false, Now());
}

void HubUpstream::OnVerdict(const std::string& identity, Verdict verdict) {
  if (verdict != Verdict::kGone && verdict != Verdict::kDisabled) return;
  for (LaneId lane = 0; lane < children_.size(); ++lane) {
    if (!children_[lane] || host_->window().name(lane) != identity || is_own(lane)) continue;
    Child& c = *children_[lane];
    // Only who was refused as well: the two together leave no doubt.
    if (!c.refused || c.gone_until > Now()) return;
    c.gone_until = Now() + kGoneInterval;
    c.trouble =
        verdict == Verdict::kGone ? "the hub does not know it as this gateway's child" : "it is disabled at the hub";
    if (c.connection) CloseChild(lane, false);
    SyncWanted(lane, true);
    exchange_.SetGone(identity);
    if (host_->window().empty(lane)) return;
    spdlog::error("the messages of an identity are set aside identity={} queue=upstream/dead reason=\"{}\"", identity,
                  c.trouble);
    SetAside(lane, kNoLimit, c.trouble);
    return;
  }
}

void HubUpstream::ForgetIfIdle(LaneId lane) {
  if (is_own(lane) || !host_->window().empty(lane) || !plan_.closed(lane)) return;
  Child& c = *children_[lane];
  // What is known of an identity that is gone must not be asked for again with each message.
  if (c.connection || c.wanted || c.gone_until > Now()) return;
  children_[lane].reset();
  plan_.Forget(lane);
  host_->window().Forget(lane);
}

void HubUpstream::WatchConnections(absl::Duration now) {
  for (LaneId lane = 0; lane < children_.size(); ++lane) {
    if (!children_[lane]) continue;
    Child& c = *children_[lane];
    const bool progress = std::exchange(c.progress, false);
    if (c.connection && c.connection->open() &&
        !c.connection->Watch(host_->window().in_flight(lane) > 0, progress, now)) {
      c.pace.OnThrottled();
      CloseChild(lane, true);
      SetTrouble(lane, "the hub acknowledges nothing");
    }
    if (c.wanted) SyncWanted(lane, false);
    WatchExchange(lane);
    CloseIfDrained(lane);
    ForgetIfIdle(lane);
  }
}

}  // namespace holdfast::uplink
