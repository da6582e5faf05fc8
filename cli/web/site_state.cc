#include "cli/web/site_state.h"

#include <algorithm>

#include "lib/record/queue_names.h"

namespace holdfast::web {
namespace {

void AddRoutes(const router::v1::Settings& from, router::v1::Settings* to) {
  to->set_unmatched(to->unmatched() + from.unmatched());
  for (router::v1::Route& route : *to->mutable_routes()) {
    const auto same = std::find_if(from.routes().begin(), from.routes().end(),
                                   [&](const router::v1::Route& r) { return r.name() == route.name(); });
    if (same == from.routes().end()) continue;
    route.set_matched(route.matched() + same->matched());
    route.set_undefined(route.undefined() + same->undefined());
  }
}

}  // namespace

const uplink::v1::GetUplinkStatusResponse* SiteState::Uplink() const {
  for (const auto& [name, status] : uplinks) {
    if (status.leads()) return &status;
  }
  return uplinks.empty() ? nullptr : &uplinks.begin()->second;
}

std::optional<router::v1::GetRouterStatusResponse> SiteState::Router() const {
  std::optional<router::v1::GetRouterStatusResponse> sum;
  for (const auto& [name, status] : routers) {
    if (!sum.has_value()) {
      sum = status;
      continue;
    }
    sum->set_sessions(sum->sessions() + status.sessions());
    sum->set_received(sum->received() + status.received());
    sum->set_acknowledged(sum->acknowledged() + status.acknowledged());
    sum->set_paused(sum->paused() || status.paused());
    AddRoutes(status.settings(), sum->mutable_settings());
  }
  return sum;
}

bool SiteState::IsLinkUp() const {
  const auto* const uplink = Uplink();
  return uplink != nullptr && uplink->leads() && uplink->state() >= uplink::v1::LINK_STATE_SYNCING;
}

std::optional<uint64_t> SiteState::Backlog() const {
  if (const auto* const uplink = Uplink(); uplink != nullptr && uplink->leads()) return uplink->lag_messages();
  if (!upstream.has_value()) return store.has_value() ? std::optional<uint64_t>(0) : std::nullopt;
  for (const store::v1::Consumer& consumer : upstream->consumers()) {
    if (consumer.name() == kUpstreamConsumer) return consumer.lag_records();
  }
  return upstream->records();
}

}  // namespace holdfast::web
