#include "cli/web/sampler.h"

#include <algorithm>
#include <utility>

namespace holdfast::web {
namespace {

LinkSight SightOf(const SiteState& state) {
  const auto* const uplink = state.Uplink();
  if (uplink == nullptr) return LinkSight::kAway;
  switch (uplink->state()) {
    case uplink::v1::LINK_STATE_ONLINE:
      return LinkSight::kOnline;
    case uplink::v1::LINK_STATE_SYNCING:
      return LinkSight::kSyncing;
    case uplink::v1::LINK_STATE_SUSPECT:
      return LinkSight::kSuspect;
    case uplink::v1::LINK_STATE_CONNECTING:
      return LinkSight::kConnecting;
    default:
      return LinkSight::kOffline;
  }
}

}  // namespace

Tick Digest::Add(const SiteState& state) {
  std::map<std::string, uint64_t> acknowledged, delivered;
  for (const auto& [name, status] : state.routers) acknowledged[name] = status.acknowledged();
  for (const auto& [name, status] : state.uplinks) delivered[name] = status.delivered();

  Tick tick = {.wall = state.wall};
  tick.sample = {.at = state.at, .link = SightOf(state), .backlog = state.Backlog()};
  tick.sample.in_per_second = in_rate_.Add(state.at, std::move(acknowledged));
  tick.sample.out_per_second = out_rate_.Add(state.at, std::move(delivered));
  if (const auto router = state.Router()) tick.sample.clients = router->sessions();

  const auto* const uplink = state.Uplink();
  tick.drain = DrainJson(estimate_.Add({.at = state.at,
                                        .backlog = tick.sample.backlog,
                                        .can_drain = state.IsLinkUp(),
                                        .out_per_second = uplink != nullptr ? uplink->delivered_per_second() : 0}));
  if (state.queues.has_value()) queues_.Add(state.at, state.IsLinkUp(), *state.queues);
  if (!state.store.has_value()) queues_.Clear();
  events_.Add(state);
  tick.sections = Sections(state, facts_);
  tick.sections["queues"] = queues_.Json();
  tick.events = events_.events();
  return tick;
}

Sampler::Sampler(const Clock& clock, Site* site, Feed* feed, HeadFacts facts, std::function<bool()> is_watched,
                 std::function<void()> on_tick)
    : clock_(clock),
      site_(site),
      feed_(feed),
      is_watched_(std::move(is_watched)),
      on_tick_(std::move(on_tick)),
      digest_(std::move(facts)),
      thread_([this] { Loop(); }) {}

Sampler::~Sampler() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  thread_.join();
}

void Sampler::Loop() {
  absl::Duration queues_listed = -absl::InfiniteDuration();
  while (true) {
    const absl::Duration began = clock_.SinceBoot();
    const bool is_due = began - queues_listed >= (is_watched_() ? kQueuesEvery : kQueuesSeldom);
    if (is_due) queues_listed = began;
    feed_->Publish(digest_.Add(site_->Ask(is_due)));
    on_tick_();
    const absl::Duration left = kEvery - (clock_.SinceBoot() - began);
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopped_), std::max(left, absl::ZeroDuration()))) return;
  }
}

}  // namespace holdfast::web
