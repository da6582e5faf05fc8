#include "services/uplink/link_override.h"

#include <algorithm>
#include <utility>

#include "holdfast/uplink/v1/uplink.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"

namespace holdfast::uplink {
namespace {

namespace pb = holdfast::store::v1;

constexpr absl::Duration kBackoffMin = absl::Milliseconds(50);
constexpr absl::Duration kBackoffMax = absl::Seconds(1);
// The clock is looked at so often: a wait by it would not see the machine sleep.
constexpr absl::Duration kLookInterval = absl::Milliseconds(200);

absl::Duration ToDuration(const google::protobuf::Duration& d) {
  return absl::Seconds(d.seconds()) + absl::Nanoseconds(d.nanos());
}

}  // namespace

LinkOverride::LinkOverride(rpc::Channels* store, const Clock& clock, Metrics* metrics, Options options)
    : store_(store),
      clock_(clock),
      options_(options),
      gauge_(metrics->Gauge("holdfast_uplink_link_override",
                            "What an operator said about the link: 1 nothing, 2 offline, 3 online; 0 not known yet.")) {
}

void LinkOverride::Start(OnChange on_change) {
  on_change_ = std::move(on_change);
  watch_ = std::make_unique<kv::KeyWatch>(store_, kOverrideKey, [this](const kv::KeyWatch::Update& u) { OnUpdate(u); });
  thread_ = std::thread([this] { Run(); });
}

void LinkOverride::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (!thread_.joinable()) return;
  thread_.join();
  watch_->Stop();
}

std::optional<LinkOverride::State> LinkOverride::state() const {
  absl::MutexLock lock(&mutex_);
  return state_;
}

void LinkOverride::OnUpdate(const kv::KeyWatch::Update& update) {
  absl::MutexLock lock(&mutex_);
  if (update.reset) seen_ = {};
  for (const pb::Change& change : update.changes) {
    if (change.entry().key() != kOverrideKey) continue;
    seen_ = {.value = change.deleted() ? "" : change.entry().value(), .revision = change.entry().revision()};
  }
  listed_ = listed_ || update.whole;
  changed_ = true;
}

void LinkOverride::Run() {
  rpc::Backoff backoff(kBackoffMin, kBackoffMax);
  bool told = false;
  while (true) {
    const absl::Status status = Step();
    if (status.ok()) backoff.Reset();
    if (!status.ok() && !std::exchange(told, true)) {
      spdlog::warn("the link's override can't be kept up to date; trying again reason=\"{}\"", Text(status));
    }
    told = told && !status.ok();
    absl::MutexLock lock(&mutex_);
    const bool ends = over_ != 0 || (state_ && state_->ends_at != absl::InfiniteDuration());
    const absl::Duration wait = !status.ok() ? backoff.Next() : ends ? kLookInterval : absl::InfiniteDuration();
    const auto woken = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_ || (status.ok() && changed_); };
    mutex_.AwaitWithTimeout(absl::Condition(&woken), wait);
    if (stopping_) return;
  }
}

absl::Status LinkOverride::Step() {
  bool changed = false;
  Seen seen;
  State state;
  {
    absl::MutexLock lock(&mutex_);
    if (!listed_) return absl::OkStatus();
    seen = seen_;
    // A watch that began anew tells what is known already.
    changed = std::exchange(changed_, false) && !(state_ && seen.revision == told_revision_);
    if (state_) state = *state_;
  }
  if (changed) {
    const auto judged = Judge(seen);
    if (!judged.ok()) {
      absl::MutexLock lock(&mutex_);
      changed_ = true;
      return judged.status();
    }
    Enter(*judged, seen.revision);
    state = *judged;
  }
  if (state.ends_at <= clock_.SinceBoot()) {
    over_ = seen.revision;
    // Also while the store is away: a rehearsal that is over must not go on for that.
    Enter({}, seen.revision);
  }
  if (over_ == 0) return absl::OkStatus();
  RETURN_IF_ERROR(Delete(over_).status());
  over_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<LinkOverride::State> LinkOverride::Judge(const Seen& seen) {
  if (seen.value.empty()) return State{};
  v1::LinkOverride value;
  const bool parsed = value.ParseFromString(seen.value);
  if (!parsed || (value.mode() != v1::LINK_MODE_OFFLINE && value.mode() != v1::LINK_MODE_ONLINE)) {
    spdlog::error("the link's override in the store can't be read: there is none key={}", kOverrideKey);
    return State{};
  }
  State state{.mode = static_cast<LinkMode>(value.mode())};
  if (!value.has_ends_at()) return state;
  ASSIGN_OR_RETURN(const absl::Duration edge, EdgeClock());
  const absl::Duration left = ToDuration(value.ends_at()) - edge;
  if (left <= absl::ZeroDuration()) {
    over_ = seen.revision;
    return State{};
  }
  state.ends_at = clock_.SinceBoot() + left;
  return state;
}

void LinkOverride::Enter(const State& state, uint64_t revision) {
  std::optional<State> before;
  {
    absl::MutexLock lock(&mutex_);
    before = state_;
  }
  if (before != state) {
    if (state.mode != LinkMode::kAuto) {
      spdlog::warn("the link is overridden mode={} ends={}", Name(state.mode),
                   state.ends_at == absl::InfiniteDuration()
                       ? "never"
                       : absl::FormatTime(absl::RFC3339_sec, clock_.WallNow() + (state.ends_at - clock_.SinceBoot()),
                                          absl::UTCTimeZone()));
    } else if (before) {
      spdlog::info("the link's override ended mode={} by={}", Name(before->mode),
                   before->ends_at <= clock_.SinceBoot() ? "time" : "operator");
    }
    gauge_.Set(static_cast<double>(state.mode));
    on_change_(state);
  }
  absl::MutexLock lock(&mutex_);
  state_ = state;
  told_revision_ = std::max(told_revision_, revision);
}

absl::StatusOr<LinkOverride::State> LinkOverride::Set(LinkMode mode, absl::Duration lasts) {
  State state{.mode = mode};
  uint64_t revision = 0;
  if (mode == LinkMode::kAuto) {
    ASSIGN_OR_RETURN(revision, Delete(std::nullopt));
  } else {
    v1::LinkOverride value;
    value.set_mode(static_cast<v1::LinkMode>(mode));
    if (lasts != absl::InfiniteDuration()) {
      ASSIGN_OR_RETURN(const absl::Duration edge, EdgeClock());
      const int64_t ms = absl::ToInt64Milliseconds(edge + lasts);
      value.mutable_ends_at()->set_seconds(ms / 1000);
      value.mutable_ends_at()->set_nanos(static_cast<int32_t>(ms % 1000 * 1'000'000));
      state.ends_at = clock_.SinceBoot() + lasts;
    }
    value.mutable_set_at()->set_seconds(absl::ToUnixSeconds(clock_.WallNow()));
    ASSIGN_OR_RETURN(revision, Put(value.SerializeAsString()));
  }
  absl::MutexLock lock(&mutex_);
  const auto done = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_ || told_revision_ >= revision; };
  mutex_.AwaitWithTimeout(absl::Condition(&done), options_.call_timeout);
  return state;
}

absl::StatusOr<absl::Duration> LinkOverride::EdgeClock() {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, options_.call_timeout);
  pb::GetStoreStatusRequest request;
  pb::GetStoreStatusResponse response;
  RETURN_IF_ERROR(
      rpc::FromGrpc(pb::StoreStatus::NewStub(store_->Pick())->GetStoreStatus(&context, request, &response)));
  return ToDuration(response.edge_clock());
}

absl::StatusOr<uint64_t> LinkOverride::Put(const std::string& value) {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, options_.call_timeout);
  pb::PutRequest request;
  request.set_key(kOverrideKey);
  request.set_value(value);
  pb::PutResponse response;
  RETURN_IF_ERROR(rpc::FromGrpc(pb::KeyValue::NewStub(store_->Pick())->Put(&context, request, &response)));
  return response.revision();
}

absl::StatusOr<uint64_t> LinkOverride::Delete(std::optional<uint64_t> expected) {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, options_.call_timeout);
  pb::DeleteRequest request;
  request.set_key(kOverrideKey);
  if (expected) request.set_expected_revision(*expected);
  pb::DeleteResponse response;
  const absl::Status status =
      rpc::FromGrpc(pb::KeyValue::NewStub(store_->Pick())->Delete(&context, request, &response));
  if (expected && absl::IsFailedPrecondition(status)) return 0;
  RETURN_IF_ERROR(status);
  return response.revision();
}

}  // namespace holdfast::uplink
