#include "services/uplink/uplink_service.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"

namespace holdfast::uplink {
namespace {

// The lag may be so old: that many callers cost the store one call.
constexpr absl::Duration kLagMaxAge = absl::Milliseconds(100);
constexpr absl::Duration kIntervalDefault = absl::Seconds(1);
constexpr absl::Duration kIntervalMin = absl::Milliseconds(100);
constexpr absl::Duration kIntervalMax = absl::Hours(1);
// A stream that has ended is noticed so soon.
constexpr absl::Duration kCancelPoll = absl::Milliseconds(500);

constexpr absl::Duration kOverrideDefault = absl::Hours(1);
constexpr absl::Duration kOverrideMin = absl::Seconds(1);
constexpr absl::Duration kOverrideMax = absl::Hours(24 * 30);

void SetTimestamp(absl::Time t, google::protobuf::Timestamp* out) {
  const int64_t nanos = absl::ToUnixNanos(t);
  out->set_seconds(nanos / 1'000'000'000);
  out->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

void SetDuration(absl::Duration d, google::protobuf::Duration* out) {
  const int64_t nanos = absl::ToInt64Nanoseconds(d);
  out->set_seconds(nanos / 1'000'000'000);
  out->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

void Fill(const IdentityTrouble& trouble, v1::IdentityTrouble* out) {
  const size_t slash = trouble.identity.find('/');
  out->set_device_id(trouble.identity.substr(0, slash));
  if (slash != std::string::npos) out->set_module_id(trouble.identity.substr(slash + 1));
  out->set_reason(trouble.reason);
  SetTimestamp(trouble.since, out->mutable_since());
  out->set_messages(trouble.messages);
  out->set_holds_line(trouble.holds_line);
}

void Fill(const ScopeSync::Status& sync, v1::ScopeSync* out) {
  if (sync.last_sync != absl::InfinitePast()) {
    SetTimestamp(sync.last_sync, out->mutable_last_sync());
    SetDuration(sync.last_sync_took, out->mutable_took());
  }
  out->set_last_error(sync.last_error);
  out->set_syncing(sync.syncing);
  out->set_added(sync.counts.added);
  out->set_changed(sync.counts.changed);
  out->set_removed(sync.counts.removed);
  out->set_identities(sync.counts.known());
}

void Fill(const LinkOverride::State& state, const Clock& clock, v1::LinkOverride* out) {
  out->set_mode(static_cast<v1::LinkMode>(state.mode));
  if (state.ends_at == absl::InfiniteDuration()) return;
  SetTimestamp(clock.WallNow() + (state.ends_at - clock.SinceBoot()), out->mutable_until());
}

// How long the override lasts; infinite: for ever, and for auto.
absl::StatusOr<absl::Duration> LastsOf(const v1::SetLinkRequest& request) {
  switch (request.mode()) {
    case v1::LINK_MODE_AUTO:
      if (request.has_duration() || request.for_ever()) {
        return absl::InvalidArgumentError("LINK_MODE_AUTO ends an override: it has no duration of its own");
      }
      return absl::InfiniteDuration();
    case v1::LINK_MODE_OFFLINE:
    case v1::LINK_MODE_ONLINE:
      break;
    default:
      return absl::InvalidArgumentError("mode must be LINK_MODE_OFFLINE, LINK_MODE_ONLINE or LINK_MODE_AUTO");
  }
  if (request.for_ever() && request.has_duration()) {
    return absl::InvalidArgumentError("duration and for_ever can't both be set");
  }
  if (request.for_ever()) return absl::InfiniteDuration();
  if (!request.has_duration()) return kOverrideDefault;
  const absl::Duration lasts =
      absl::Seconds(request.duration().seconds()) + absl::Nanoseconds(request.duration().nanos());
  if (lasts < kOverrideMin || lasts > kOverrideMax) return absl::InvalidArgumentError("duration must be 1 s to 30 d");
  return lasts;
}

// True if counters moved, or the state did.
bool Differs(const v1::GetUplinkStatusResponse& a, const v1::GetUplinkStatusResponse& b) {
  return a.SerializeAsString() != b.SerializeAsString();
}

}  // namespace

void UplinkService::FillStatus(v1::GetUplinkStatusResponse* response, uint64_t* version) const {
  const Lag::Value lag = uplink_->lag().Get(kLagMaxAge);
  const Uplink::Status status = uplink_->GetStatus();
  *version = status.version;
  response->set_state(static_cast<v1::LinkState>(status.state));
  SetTimestamp(status.since, response->mutable_since());
  const Leadership::Status leadership = leadership_.status();
  response->set_leads(leadership.leads);
  response->set_leader(leadership.leader);
  response->set_reason(leadership.leads            ? status.reason
                       : leadership.leader.empty() ? "not leading: the store does not answer"
                                                   : "standing by: uplink " + leadership.leader + " has the link");
  response->set_upstream(upstream_);
  response->set_address(status.address);
  const uint64_t lag_messages = lag.records - std::min(lag.records, status.uncommitted);
  response->set_lag_messages(lag_messages);
  if (lag_messages > 0) SetDuration(lag.oldest_age, response->mutable_lag());
  response->set_in_flight(status.in_flight);
  response->set_delivered(status.delivered);
  response->set_connects(status.connects);
  response->set_delivered_per_second(status.delivered_per_second);
  if (status.next_attempt != absl::InfinitePast()) SetTimestamp(status.next_attempt, response->mutable_next_attempt());
  response->set_stalled(status.stalled);
  response->set_connections(status.upstream.connections);
  response->set_troubles_total(status.upstream.troubles_total);
  response->set_held_clients(status.upstream.held);
  response->set_twins_pending(status.upstream.twins_pending);
  for (const IdentityTrouble& trouble : status.upstream.troubles) Fill(trouble, response->add_troubles());
  if (status.upstream.sync) Fill(*status.upstream.sync, response->mutable_scope());
  const auto link_override = override_.state();
  if (link_override && link_override->mode != LinkMode::kAuto) {
    Fill(*link_override, clock_, response->mutable_override());
  }
}

grpc::Status UplinkService::GetUplinkStatus(grpc::ServerContext*, const v1::GetUplinkStatusRequest*,
                                            v1::GetUplinkStatusResponse* response) {
  uint64_t version = 0;
  FillStatus(response, &version);
  return grpc::Status::OK;
}

grpc::Status UplinkService::WatchUplinkStatus(grpc::ServerContext* context, const v1::WatchUplinkStatusRequest* request,
                                              grpc::ServerWriter<v1::GetUplinkStatusResponse>* writer) {
  absl::Duration interval = kIntervalDefault;
  if (request->has_interval()) {
    interval = absl::Seconds(request->interval().seconds()) + absl::Nanoseconds(request->interval().nanos());
    if (interval < kIntervalMin || interval > kIntervalMax) {
      return rpc::ToGrpc(absl::InvalidArgumentError("interval must be 100 ms to 1 h"));
    }
  }
  v1::GetUplinkStatusResponse last;
  uint64_t sent_version = 0;
  absl::Time sent_at = absl::InfinitePast();
  while (!stopping_ && !context->IsCancelled()) {
    const absl::Duration left = sent_at + interval - absl::Now();
    const bool state_changed = uplink_->GetStatus().version != sent_version;
    if (state_changed || left <= absl::ZeroDuration()) {
      v1::GetUplinkStatusResponse response;
      uint64_t version = 0;
      FillStatus(&response, &version);
      if (sent_at == absl::InfinitePast() || Differs(response, last)) {
        if (!writer->Write(response)) break;
        last = response;
      }
      sent_version = version;
      sent_at = absl::Now();
      continue;
    }
    uplink_->WaitForChange(sent_version, std::min(left, kCancelPoll));
  }
  return stopping_ ? rpc::ToGrpc(absl::UnavailableError("uplink is stopping")) : grpc::Status::OK;
}

grpc::Status LinkControlService::SetLink(grpc::ServerContext*, const v1::SetLinkRequest* request,
                                         v1::SetLinkResponse* response) {
  const auto lasts = LastsOf(*request);
  if (!lasts.ok()) return rpc::ToGrpc(lasts.status());
  const auto set = override_->Set(static_cast<LinkMode>(request->mode()), *lasts);
  if (!set.ok()) return rpc::ToGrpc(Annotate(set.status(), "the override is kept in the store"));
  if (set->mode != LinkMode::kAuto) Fill(*set, clock_, response->mutable_override());
  return grpc::Status::OK;
}

}  // namespace holdfast::uplink
