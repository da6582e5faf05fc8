#include "cli/web/site_events.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/output.h"
#include "cli/web/site_readiness.h"
#include "cli/wire.h"
#include "lib/record/queue_names.h"

namespace holdfast::web {
namespace {

using StoreState = store::v1::GetStoreStatusResponse;

bool IsUp(uplink::v1::LinkState state) {
  return state >= uplink::v1::LINK_STATE_SYNCING;
}

std::string Because(std::string_view reason) {
  return reason.empty() ? "" : fmt::format(": {}", reason);
}

}  // namespace

std::string_view Name(Severity severity) {
  switch (severity) {
    case Severity::kInfo:
      return "info";
    case Severity::kGood:
      return "good";
    case Severity::kWarning:
      return "warning";
    case Severity::kBad:
      return "bad";
  }
  return "info";
}

nlohmann::json EventJson(const Event& event) {
  return {
      {"id", event.id},         {"at", absl::ToInt64Milliseconds(event.at)}, {"wall", absl::ToUnixMillis(event.wall)},
      {"source", event.source}, {"severity", Name(event.severity)},          {"text", event.text}};
}

void SiteEvents::Tell(std::string source, Severity severity, std::string text) {
  if (text.size() > kTextMax) text = text.substr(0, kTextMax) + "…";
  events_.push_back({.id = next_id_++,
                     .at = at_,
                     .wall = wall_,
                     .source = std::move(source),
                     .severity = severity,
                     .text = std::move(text)});
  if (events_.size() > kEventsMax) events_.pop_front();
}

void SiteEvents::Add(const SiteState& state) {
  at_ = state.at;
  wall_ = state.wall;
  CompareInstances(state);
  CompareLink(state);
  CompareStore(state);
  CompareRouter(state);
  CompareReadiness(state);
  is_first_ = false;
}

void SiteEvents::CompareInstances(const SiteState& state) {
  std::map<std::string, Seen> now;
  for (const InstanceState& instance : state.instances) {
    const bool is_alone = std::count_if(state.instances.begin(), state.instances.end(),
                                        [&](const auto& other) { return other.service == instance.service; }) == 1;
    const std::string name = is_alone ? instance.service : fmt::format("{} {}", instance.service, instance.name);
    const std::string key = fmt::format("{} {}", instance.service, instance.name);
    now[key] = {.health = instance.health, .life = instance.life};
    const auto at = instances_.find(key);
    const bool is_known = at != instances_.end();
    const Seen before = is_known ? at->second : Seen();
    const bool was_up = before.health == cli::Health::kServing;
    if (instance.health == cli::Health::kServing) {
      if (is_known && was_up && before.life != instance.life) {
        Tell("health", Severity::kWarning, fmt::format("{} was restarted", name));
      } else if (!was_up && !is_first_) {
        Tell("health", Severity::kGood, fmt::format("{} is there{}", name, is_known ? " again" : ""));
      }
    } else if (is_first_ || !is_known || before.health != instance.health) {
      Tell("health", Severity::kBad, instance.detail);
    }
  }
  for (const auto& [key, before] : instances_) {
    if (!now.contains(key)) Tell("health", Severity::kWarning, fmt::format("{} has gone", key));
  }
  instances_ = std::move(now);
}

void SiteEvents::CompareLink(const SiteState& state) {
  const auto* const now = state.Uplink();
  if (now == nullptr) return;  // Told as an instance; what it was is kept to compare with.
  const bool was_up = uplink_.has_value() && IsUp(uplink_->state());
  const bool is_up = IsUp(now->state());
  if (is_up && !was_up) {
    Tell("uplink", Severity::kGood, fmt::format("link to the hub is up: {}", now->upstream()));
  } else if (!is_up && (was_up || !uplink_.has_value())) {
    if (!now->upstream().empty()) {
      Tell("uplink", Severity::kBad, fmt::format("link to the hub is down{}", Because(now->reason())));
    }
  }
  if (is_up && was_up) {
    const bool is_suspect = now->state() == uplink::v1::LINK_STATE_SUSPECT;
    const bool was_suspect = uplink_->state() == uplink::v1::LINK_STATE_SUSPECT;
    if (is_suspect && !was_suspect) {
      Tell("uplink", Severity::kWarning, fmt::format("the hub is late with its answers{}", Because(now->reason())));
    } else if (was_suspect && !is_suspect) {
      Tell("uplink", Severity::kGood, "the hub answers again");
    } else if (now->connects() > uplink_->connects() && uplink_->leader() == now->leader()) {
      Tell("uplink", Severity::kWarning, "link to the hub was lost and made anew");
    }
  }
  if (now->stalled() && !(uplink_.has_value() && uplink_->stalled())) {
    Tell("uplink", Severity::kBad, "connected, but the hub acknowledges nothing");
  }
  if (uplink_.has_value()) {
    if (!now->leader().empty() && !uplink_->leader().empty() && now->leader() != uplink_->leader()) {
      Tell("uplink", Severity::kWarning,
           fmt::format("uplink {} has the link now, in place of {}", now->leader(), uplink_->leader()));
    }
    CompareScope(*now, *uplink_);
  }
  CompareTroubles(*now);
  uplink_ = *now;
}

void SiteEvents::CompareScope(const uplink::v1::GetUplinkStatusResponse& now,
                              const uplink::v1::GetUplinkStatusResponse& before) {
  const uplink::v1::ScopeSync& sync = now.scope();
  if (sync.has_last_sync() && sync.last_sync().seconds() != before.scope().last_sync().seconds()) {
    Tell("uplink", Severity::kInfo,
         fmt::format("identities were taken from the hub: {} in all, {} added, {} changed, {} removed",
                     sync.identities(), sync.added(), sync.changed(), sync.removed()));
  }
  if (!sync.last_error().empty() && sync.last_error() != before.scope().last_error()) {
    Tell("uplink", Severity::kWarning,
         fmt::format("identities could not be taken from the hub: {}", sync.last_error()));
  }
}

void SiteEvents::CompareTroubles(const uplink::v1::GetUplinkStatusResponse& now) {
  std::map<std::string, std::string> troubles;
  for (const uplink::v1::IdentityTrouble& trouble : now.troubles()) {
    const std::string id = trouble.module_id().empty() ? trouble.device_id()
                                                       : fmt::format("{}/{}", trouble.device_id(), trouble.module_id());
    const auto before = troubles_.find(id);
    if (before == troubles_.end() || before->second != trouble.reason()) {
      Tell("uplink", Severity::kWarning, fmt::format("{}'s messages don't get on: {}", id, trouble.reason()));
    }
    troubles[id] = trouble.reason();
  }
  troubles_ = std::move(troubles);
}

void SiteEvents::CompareStore(const SiteState& state) {
  if (!state.store.has_value()) return;
  const StoreState& now = *state.store;
  const auto before = store_.has_value() ? store_->state() : StoreState::STATE_SERVING;
  if (now.state() != before) {
    if (now.state() == StoreState::STATE_SERVING) Tell("store", Severity::kGood, "the store takes messages again");
    if (now.state() == StoreState::STATE_FULL) {
      Tell("store", Severity::kBad, fmt::format("the store is full, clients wait{}", Because(now.reason())));
    }
    if (now.state() == StoreState::STATE_REOPENING) {
      Tell("store", Severity::kBad, fmt::format("the store reopens its database{}", Because(now.reason())));
    }
  }
  if (now.damaged_files_size() > (store_.has_value() ? store_->damaged_files_size() : 0)) {
    Tell("store", Severity::kBad,
         fmt::format("damaged files were set aside: {}, with {} records as far as is known", now.damaged_files_size(),
                     now.corrupt_records()));
  }
  store_ = now;
  CompareQueue(kUpstreamQueue, state.upstream, &upstream_);
  if (state.dead.has_value() && dead_.has_value() && state.dead->appended() > dead_->appended()) {
    Tell("store", Severity::kWarning,
         fmt::format("{} messages were set aside in {}", state.dead->appended() - dead_->appended(),
                     state.dead->name()));
  }
  if (state.dead.has_value()) dead_ = state.dead;
}

void SiteEvents::CompareQueue(std::string_view name, const std::optional<store::v1::Queue>& queue,
                              std::optional<store::v1::Queue>* before) {
  if (!queue.has_value()) return;
  if (before->has_value()) {
    const store::v1::DroppedCounts& now = queue->dropped();
    const store::v1::DroppedCounts& then = (*before)->dropped();
    const std::pair<uint64_t, std::string_view> drops[] = {
        {now.expired() - std::min(then.expired(), now.expired()), "their time to live was over"},
        {now.full() - std::min(then.full(), now.full()), "the queue was full"},
        {now.corrupt() - std::min(then.corrupt(), now.corrupt()), "they were damaged"},
        {now.operator_() - std::min(then.operator_(), now.operator_()), "an operator purged them"}};
    for (const auto& [count, why] : drops) {
      if (count > 0) Tell("store", Severity::kBad, fmt::format("{} messages dropped from {}: {}", count, name, why));
    }
  }
  const bool waited = before->has_value() && (*before)->waiting_appends() > 0;
  if (queue->waiting_appends() > 0 && !waited) {
    Tell("store", Severity::kWarning, fmt::format("the queue {} has no room: clients wait", name));
  } else if (queue->waiting_appends() == 0 && waited) {
    Tell("store", Severity::kGood, fmt::format("the queue {} has room again", name));
  }
  *before = queue;
}

void SiteEvents::CompareRouter(const SiteState& state) {
  const auto now = state.Router();
  if (!now.has_value()) return;
  const router::v1::Settings& settings = now->settings();
  if (now->paused() != (router_.has_value() && router_->paused())) {
    now->paused() ? Tell("router", Severity::kBad, "clients are not read: the store takes nothing")
                  : Tell("router", Severity::kGood, "clients are read again");
  }
  if (!settings.error().empty() && (!router_.has_value() || router_->settings().error() != settings.error())) {
    Tell("router", Severity::kWarning, fmt::format("the latest settings are not in force: {}", settings.error()));
  }
  if (router_.has_value()) {
    const router::v1::Settings& before = router_->settings();
    if (before.source() != settings.source() || before.version() != settings.version()) {
      Tell("router", Severity::kInfo, fmt::format("routes and settings are in force from {}", settings.source()));
    }
    if (router_->certificate_not_after().seconds() != now->certificate_not_after().seconds() &&
        now->has_certificate_not_after()) {
      Tell("router", Severity::kInfo,
           fmt::format("server certificate renewed, until {}",
                       cli::HumanTime(cli::ToTime(now->certificate_not_after()))));
    }
  }
  router_ = *now;
}

void SiteEvents::CompareReadiness(const SiteState& state) {
  const cli::Readiness readiness = JudgeReadiness(state);
  // Of a service that is away it is not known; that it is away was told.
  if (state.routers.empty() || !state.store.has_value() || !state.identities.has_value()) return;
  if (ready_ == readiness.ready()) return;
  if (readiness.ready() && ready_.has_value()) Tell("auth", Severity::kGood, "ready for an outage of the hub");
  if (!readiness.ready()) {
    Tell("auth", Severity::kWarning, fmt::format("not ready for an outage of the hub: {}", readiness.missing.front()));
  }
  ready_ = readiness.ready();
}

}  // namespace holdfast::web
