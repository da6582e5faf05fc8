#include "services/uplink/connectivity.h"

#include <algorithm>
#include <utility>

namespace holdfast::uplink {
namespace {

// A hint from the kernel or the resolver ends a wait only when the last attempt is at least this old: an interface that
// flaps must not turn into a storm of logins.
constexpr absl::Duration kHintDistance = absl::Milliseconds(500);
// A connection that lasted so long was a good one, also if there was nothing to send: the back-off starts anew.
constexpr absl::Duration kStableConnection = absl::Seconds(10);
// While connected, what is owed is looked at so often.
constexpr absl::Duration kTickInterval = absl::Milliseconds(250);
// Doublings of the back-off beyond this have long met backoff_max.
constexpr int kDoublingsMax = 20;

}  // namespace

std::string_view Name(LinkState state) {
  switch (state) {
    case LinkState::kOffline:
      return "offline";
    case LinkState::kConnecting:
      return "connecting";
    case LinkState::kSyncing:
      return "syncing";
    case LinkState::kOnline:
      return "online";
    case LinkState::kSuspect:
      return "suspect";
  }
  return "?";
}

std::string_view Name(LinkMode mode) {
  switch (mode) {
    case LinkMode::kAuto:
      return "auto";
    case LinkMode::kOffline:
      return "offline";
    case LinkMode::kOnline:
      return "online";
  }
  return "?";
}

Connectivity::Connectivity(Options options, std::function<double()> random)
    : options_(options), random_(std::move(random)) {}

Connectivity::Actions Connectivity::On(const Event& event, absl::Duration now) {
  if (stopped_) return {};
  if (mode_ == LinkMode::kOffline && event.kind != Event::kMode && event.kind != Event::kStop) {
    started_ = started_ || event.kind == Event::kStart;
    return {};
  }
  switch (event.kind) {
    case Event::kStart:
      if (std::exchange(started_, true)) return {};
      return Connect(now);
    case Event::kStop: {
      const bool busy = state_ != LinkState::kOffline;
      stopped_ = true;
      Enter(LinkState::kOffline, "stopping");
      return {.drop = busy};
    }
    case Event::kTransport:
      transport_up_ = true;
      return {};
    case Event::kLogin:
      if (state_ != LinkState::kConnecting) return {};
      login_at_ = now;
      owed_since_.reset();
      synced_ = false;
      EnterConnected();
      return {};
    case Event::kSynced:
      synced_ = connected();
      if (state_ == LinkState::kSyncing) EnterConnected();
      return {};
    case Event::kRenew: {
      if (!connected()) return {};
      Actions actions = Connect(now);
      actions.drop = true;
      return actions;
    }
    case Event::kFailed:
      if (state_ != LinkState::kOffline) GoOffline(event.failure, event.reason, now);
      return {};
    case Event::kProgress:
      OnProgress(event.owed, now);
      return {};
    case Event::kPong:
      pong_ = true;
      return {};
    case Event::kTick:
      return started_ ? OnTick(event.owed, now) : Actions{};
    case Event::kProbeOk:
    case Event::kProbeFailed:
      return OnProbe(event.kind == Event::kProbeOk, now);
    case Event::kNetworkChanged:
    case Event::kNewAddress:
      return OnHint(now);
    case Event::kMode:
      return OnMode(event, now);
  }
  return {};
}

Connectivity::Actions Connectivity::OnTick(bool owed, absl::Duration now) {
  if (connected()) {
    if (!owed) {
      owed_since_.reset();
      stall_since_.reset();
    } else {
      if (!owed_since_) owed_since_ = now;
      if (!stall_since_) stall_since_ = now;
    }
    stalled_ = stall_since_ && now - *stall_since_ >= options_.stall_timeout;
    if (now - login_at_ >= kStableConnection) attempt_ = 0;
  }
  switch (state_) {
    case LinkState::kOffline:
      if (now >= retry_at_) return Connect(now);
      if (probes_on_ && now >= probe_at_) {
        probe_at_ = now + options_.probe_interval;
        return {.probe = true};
      }
      return {};
    case LinkState::kConnecting:
      // A SYN that was lost is sent again after 1, 3, 7 s: probes see an earlier return of the network.
      if (!transport_up_ && now >= probe_at_) {
        probe_at_ = now + options_.probe_interval;
        return {.probe = true};
      }
      return {};
    case LinkState::kSyncing:
    case LinkState::kOnline:
      if (owed_since_ && now - *owed_since_ >= options_.ack_timeout) {
        suspect_at_ = now;
        pong_ = false;
        Enter(LinkState::kSuspect, "the hub owes an acknowledgement");
        return {.ping = true};
      }
      return {};
    case LinkState::kSuspect:
      if (!owed) {
        EnterConnected();
      } else if (!pong_ && now - suspect_at_ >= options_.ping_timeout) {
        GoOffline(Failure::kSilent, "the hub stopped answering", now);
        return {.drop = true};
      } else if (now - suspect_at_ >= options_.stall_timeout) {
        // It answers pings and acknowledges nothing: perhaps it forgot; a new connection sends everything again.
        GoOffline(Failure::kLost, "the hub acknowledges nothing", now);
        return {.drop = true};
      }
      return {};
  }
  return {};
}

// Draining goes on in both.
void Connectivity::EnterConnected() {
  synced_ ? Enter(LinkState::kOnline, "") : Enter(LinkState::kSyncing, "agreeing with the hub");
}

void Connectivity::OnProgress(bool owed, absl::Duration now) {
  attempt_ = 0;
  stalled_ = false;
  owed_since_.reset();
  stall_since_.reset();
  if (owed) owed_since_ = stall_since_ = now;
  if (state_ == LinkState::kSuspect) EnterConnected();
}

Connectivity::Actions Connectivity::OnProbe(bool ok, absl::Duration now) {
  if (state_ == LinkState::kConnecting && !transport_up_ && ok && now - attempt_at_ >= options_.probe_interval) {
    Actions actions = Connect(now);
    actions.drop = true;
    return actions;
  }
  if (state_ != LinkState::kOffline) return {};
  if (!ok) {
    probe_armed_ = true;
    return {};
  }
  return probes_on_ && probe_armed_ ? Connect(now) : Actions{};
}

Connectivity::Actions Connectivity::OnHint(absl::Duration now) {
  if (!started_ || state_ != LinkState::kOffline || !probes_on_ || now - attempt_at_ < kHintDistance) return {};
  return Connect(now);
}

Connectivity::Actions Connectivity::OnMode(const Event& event, absl::Duration now) {
  const LinkMode before = std::exchange(mode_, event.mode);
  if (mode_ == LinkMode::kOffline) {
    const bool busy = state_ != LinkState::kOffline;
    owed_since_.reset();
    stall_since_.reset();
    stalled_ = false;
    Enter(LinkState::kOffline, event.reason);
    return {.drop = busy};
  }
  const bool news = before == LinkMode::kOffline || mode_ == LinkMode::kOnline;
  if (!started_ || state_ != LinkState::kOffline || !news) return {};
  // Somebody says that it is there: what was seen before does not count.
  attempt_ = 0;
  if (before == LinkMode::kOffline) Enter(LinkState::kOffline, "connecting");
  return Connect(now);
}

Connectivity::Actions Connectivity::Connect(absl::Duration now) {
  attempt_at_ = now;
  transport_up_ = false;
  probe_at_ = now + options_.probe_interval;
  Enter(LinkState::kConnecting, reason_.empty() ? "connecting" : reason_);
  return {.connect = true};
}

void Connectivity::GoOffline(Failure failure, std::string reason, absl::Duration now) {
  if (failure == Failure::kUnreachable) {
    // An outage, not a hub that takes and never acknowledges.
    stall_since_.reset();
    stalled_ = false;
  }
  if (connected() && now - login_at_ >= kStableConnection) attempt_ = 0;
  owed_since_.reset();
  probe_armed_ = failure == Failure::kUnreachable;
  probes_on_ = failure != Failure::kRefused;
  probe_at_ = now + options_.probe_interval;
  retry_at_ = now + NextWait(failure);
  Enter(LinkState::kOffline, std::move(reason));
}

absl::Duration Connectivity::NextWait(Failure failure) {
  // Waiting for the answer took its time-out already: keep an attempt under way, so that a hub that was frozen is met
  // at once.
  if (failure == Failure::kSilent) return options_.backoff_min / 2 * random_();
  if (mode_ == LinkMode::kOnline) return options_.backoff_min * random_();
  const absl::Duration limit = std::min(options_.backoff_max, options_.backoff_min * (int64_t{1} << attempt_));
  attempt_ = std::min(attempt_ + 1, kDoublingsMax);
  return limit * random_();
}

void Connectivity::Enter(LinkState state, std::string reason) {
  state_ = state;
  reason_ = std::move(reason);
}

absl::Duration Connectivity::next_tick(absl::Duration now) const {
  if (stopped_ || !started_ || mode_ == LinkMode::kOffline) return absl::InfiniteDuration();
  switch (state_) {
    case LinkState::kOffline:
      return probes_on_ ? std::min(retry_at_, probe_at_) : retry_at_;
    case LinkState::kConnecting:
      return transport_up_ ? absl::InfiniteDuration() : probe_at_;
    default:
      return now + kTickInterval;
  }
}

}  // namespace holdfast::uplink
