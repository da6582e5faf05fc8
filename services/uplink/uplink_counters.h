#pragma once

#include "lib/base/metrics.h"
#include "services/uplink/uplink.h"

namespace holdfast::uplink {

struct Uplink::Counters {
  explicit Counters(Metrics* m)
      : metrics(m),
        delivered(m->Counter("holdfast_uplink_delivered_total", "Messages that the hub acknowledged.")),
        published(m->Counter("holdfast_uplink_published_total", "PUBLISH packets sent, repeated ones included.")),
        redelivered(m->Counter("holdfast_uplink_redelivered_total", "Messages sent again on a new connection.")),
        dead_letters(m->Counter("holdfast_uplink_dead_letters_total", "Messages that can't be published, set aside.")),
        connects(m->Counter("holdfast_uplink_connects_total", "Logins that the hub accepted.")),
        state(m->Gauge("holdfast_uplink_link_state", "1 offline, 2 connecting, 3 syncing, 4 online, 5 suspect.")),
        stalled(m->Gauge("holdfast_uplink_stalled", "1 when connected and nothing is acknowledged.")),
        in_flight(m->Gauge("holdfast_uplink_in_flight", "Messages sent and not acknowledged.")),
        lag_messages(m->Gauge("holdfast_uplink_lag_messages", "Messages stored and not acknowledged by the hub.")),
        lag_seconds(m->Gauge("holdfast_uplink_lag_seconds", "Age of the oldest message not acknowledged by the hub.")),
        commit_seconds(m->Histogram("holdfast_uplink_commit_seconds", "Time to write a checkpoint to the store.",
                                    {0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5})),
        commit_messages(m->Histogram("holdfast_uplink_commit_messages", "Messages covered by a checkpoint.",
                                     {1, 4, 16, 64, 256, 1024, 4096, 16384})),
        ack_messages(m->Histogram("holdfast_uplink_ack_messages", "Acknowledgements taken in at once.",
                                  {1, 4, 16, 64, 256, 1024, 4096})) {}
  Metrics* const metrics;
  prometheus::Counter& delivered;
  prometheus::Counter& published;
  prometheus::Counter& redelivered;
  prometheus::Counter& dead_letters;
  prometheus::Counter& connects;
  prometheus::Gauge& state;
  prometheus::Gauge& stalled;
  prometheus::Gauge& in_flight;
  prometheus::Gauge& lag_messages;
  prometheus::Gauge& lag_seconds;
  prometheus::Histogram& commit_seconds;
  prometheus::Histogram& commit_messages;
  prometheus::Histogram& ack_messages;
};

}  // namespace holdfast::uplink
