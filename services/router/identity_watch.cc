#include "services/router/identity_watch.h"

#include <algorithm>

#include "lib/base/log.h"
#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

constexpr absl::Duration kWatchRetryMin = absl::Milliseconds(50);
constexpr absl::Duration kWatchRetryMax = absl::Seconds(1);

}  // namespace

IdentityChanges::Drop IdentityChanges::Make(const Identity& identity, uint64_t holds_from, std::string_view reason) {
  return {.identity = identity, .with_modules = identity.module_id.empty(), .holds_from = holds_from, .reason = reason};
}

IdentityChanges::Drop IdentityChanges::Remove(const Identity& identity, uint64_t version) {
  const std::string id = identity.ClientId();
  if (removed_.insert_or_assign(id, version).second) removed_order_.push_back(id);
  if (removed_order_.size() > kRemovedIdentitiesMax) {
    removed_.erase(removed_order_.front());
    removed_order_.pop_front();
  }
  Drop drop = Make(identity, version + 1, "identity removed");
  drop.removed = true;
  return drop;
}

std::vector<IdentityChanges::Drop> IdentityChanges::Take(const auth::v1::WatchIdentitiesResponse& response,
                                                         bool first) {
  std::vector<Drop> drops;
  absl::MutexLock lock(&mutex_);
  StringMap<Known> before;
  if (first) before.swap(known_);
  for (const auth::v1::Identity& changed : response.changed()) {
    const Known now{.identity = {changed.device_id(), changed.module_id()},
                    .version = changed.version(),
                    .enabled = changed.enabled()};
    const std::string id = now.identity.ClientId();
    StringMap<Known>& old_ones = first ? before : known_;
    const auto old = old_ones.find(id);
    if (!now.enabled) {
      drops.push_back(Make(now.identity, now.version + 1, "identity disabled"));
    } else if (old != old_ones.end() && old->second.version != now.version) {
      drops.push_back(Make(now.identity, now.version, "identity changed"));
    }
    if (first && old != old_ones.end()) before.erase(old);
    known_[id] = now;
  }
  // What is left of the old list is not in the new one.
  for (const auto& [id, known] : before) drops.push_back(Remove(known.identity, known.version));
  for (const auth::v1::Identity& removed : response.removed()) {
    const Identity identity{removed.device_id(), removed.module_id()};
    uint64_t version = removed.version();
    if (const auto known = known_.find(identity.ClientId()); known != known_.end()) {
      version = std::max(version, known->second.version);
      known_.erase(known);
    }
    drops.push_back(Remove(identity, version));
  }
  return drops;
}

bool IdentityChanges::HoldsAlone(std::string_view client_id, uint64_t version) const {
  if (const auto known = known_.find(client_id); known != known_.end()) {
    return version >= known->second.version && known->second.enabled;
  }
  const auto removed = removed_.find(client_id);
  return removed == removed_.end() || version > removed->second;
}

bool IdentityChanges::HoldsOf(const Identity& identity, uint64_t version) const {
  return HoldsAlone(identity.ClientId(), version) &&
         (identity.module_id.empty() || HoldsAlone(identity.device_id, version));
}

bool IdentityChanges::Holds(const Identity& identity, std::span<const Identity> links, uint64_t version) const {
  if (version == 0) return true;
  absl::MutexLock lock(&mutex_);
  return HoldsOf(identity, version) && std::ranges::all_of(links, [&](const Identity& link) ABSL_SHARED_LOCKS_REQUIRED(
                                                                      mutex_) { return HoldsOf(link, version); });
}

IdentityWatch::IdentityWatch(rpc::Channels* auth, IdentityChanges* changes, Events events)
    : auth_(auth), changes_(changes), events_(std::move(events)), backoff_(kWatchRetryMin, kWatchRetryMax) {
  thread_ = std::thread([this] { Loop(); });
}

IdentityWatch::~IdentityWatch() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    if (call_ != nullptr) call_->TryCancel();
  }
  thread_.join();
}

void IdentityWatch::Loop() {
  while (true) {
    FollowOnce();
    const absl::Duration wait = backoff_.Next();
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopped_), wait)) return;
  }
}

void IdentityWatch::FollowOnce() {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  {
    absl::MutexLock lock(&mutex_);
    if (stopped_) return;
    call_ = &context;
  }
  auto stub = auth::v1::Identities::NewStub(auth_->Pick());
  auto reader = stub->WatchIdentities(&context, {});
  auth::v1::WatchIdentitiesResponse response;
  bool first = true;
  while (reader->Read(&response)) {
    backoff_.Reset();
    for (const IdentityChanges::Drop& drop : changes_->Take(response, first)) events_.on_drop(drop);
    if (first) events_.on_list();
    if (!response.gateway_device_id().empty()) events_.on_gateway_device(response.gateway_device_id());
    first = false;
  }
  const grpc::Status status = reader->Finish();
  absl::MutexLock lock(&mutex_);
  call_ = nullptr;
  if (!stopped_) spdlog::debug("watch of identities ended reason=\"{}\"", status.error_message());
}

}  // namespace holdfast::router
