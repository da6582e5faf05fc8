#pragma once

#include "lib/base/metrics.h"
#include "services/uplink/hub_upstream.h"

namespace holdfast::uplink {

struct HubUpstream::Counters {
  explicit Counters(Metrics* m)
      : connections(m->Gauge("holdfast_uplink_connections", "Connections to the hub that are up.")),
        identity_connects(m->Counter("holdfast_uplink_identity_connects_total", "Connections opened for identities.")),
        refused(m->Counter("holdfast_uplink_identity_refusals_total", "Logins of identities that the hub refused.")),
        set_aside(m->Counter("holdfast_uplink_set_aside_total",
                             "Messages of identities that the hub calls gone, or that it does not take.")),
        troubles(m->Gauge("holdfast_uplink_identity_troubles", "Identities that don't get on.")),
        syncs(m->Counter("holdfast_uplink_scope_syncs_total", "Snapshots of the scope that auth took.")),
        sync_failures(m->Counter("holdfast_uplink_scope_sync_failures_total", "Snapshots of the scope that failed.")) {}
  prometheus::Gauge& connections;
  prometheus::Counter& identity_connects;
  prometheus::Counter& refused;
  prometheus::Counter& set_aside;
  prometheus::Gauge& troubles;
  prometheus::Counter& syncs;
  prometheus::Counter& sync_failures;
};

}  // namespace holdfast::uplink
