#include "services/router/router_metrics.h"

#include <string>

#include "absl/time/clock.h"
#include "lib/base/log.h"

namespace holdfast::router {

namespace {

constexpr int64_t kLogLinesPerSecond = 1;

prometheus::Counter& DroppedCounter(Metrics* metrics, std::string_view reason) {
  return metrics->Counter("holdfast_router_messages_dropped_total",
                          "Messages acknowledged and stored nowhere, or a copy of them: no route matched, or hops_max",
                          {{"reason", std::string(reason)}});
}

}  // namespace

RouterMetrics::RouterMetrics(Metrics* metrics)
    : metrics_(metrics),
      received_(metrics->Counter("holdfast_router_messages_received_total", "Telemetry messages received")),
      acknowledged_(metrics->Counter("holdfast_router_messages_acknowledged_total",
                                     "Telemetry messages on disk; those of QoS 1 were acknowledged")),
      duplicates_(metrics->Counter("holdfast_router_messages_duplicate_total",
                                   "Messages sent again by a client that were stored already")),
      limited_(metrics->Counter("holdfast_router_connects_limited_total",
                                "Connections closed unheard: too many failed ones from their address")),
      dropped_for_hops_(DroppedCounter(metrics, "hops")),
      hops_log_(kLogLinesPerSecond),
      delivered_(metrics->Counter("holdfast_router_messages_delivered_total", "Messages sent to clients")),
      delivered_again_(
          metrics->Counter("holdfast_router_messages_redelivered_total",
                           "Messages sent to clients with DUP: not acknowledged on an earlier connection")),
      undeliverable_(metrics->Counter("holdfast_router_messages_undeliverable_total",
                                      "Messages for clients passed over: no envelope, or no valid topic")),
      desired_pushes_(metrics->Counter("holdfast_router_desired_pushes_total",
                                       "Patches of desired properties that were sent to clients")),
      sessions_(metrics->Gauge("holdfast_router_sessions", "Connected clients")),
      pending_bytes_(metrics->Gauge("holdfast_router_pending_bytes", "Bytes received and not on disk yet")) {
  for (size_t i = 1; i < routes::kNoMatchReasons; ++i) {
    dropped_[i] = &DroppedCounter(metrics, routes::Text(static_cast<routes::NoMatch>(i)));
  }
}

void RouterMetrics::Received(uint64_t messages) {
  received_.Increment(static_cast<double>(messages));
  received_count_.fetch_add(messages, std::memory_order_relaxed);
}

void RouterMetrics::Acknowledged(uint64_t messages) {
  acknowledged_.Increment(static_cast<double>(messages));
  acknowledged_count_.fetch_add(messages, std::memory_order_relaxed);
}

void RouterMetrics::Duplicate() {
  duplicates_.Increment();
}

void RouterMetrics::Dropped(routes::NoMatch reason) {
  dropped_[static_cast<size_t>(reason)]->Increment();
}

void RouterMetrics::DroppedForHops(std::string_view client_id, std::string_view queue, uint32_t hops) {
  dropped_for_hops_.Increment();
  uint64_t suppressed = 0;
  if (!hops_log_.Take(absl::Now(), &suppressed)) return;
  spdlog::warn("a message goes in a circle and is not delivered once more client_id={} queue={} hops={} not_logged={}",
               Printable(client_id), Printable(queue), hops, suppressed);
}

void RouterMetrics::Delivered(uint64_t messages, uint64_t again) {
  delivered_.Increment(static_cast<double>(messages));
  if (again > 0) delivered_again_.Increment(static_cast<double>(again));
}

void RouterMetrics::Undeliverable() {
  undeliverable_.Increment();
}

void RouterMetrics::ConnectLimited() {
  limited_.Increment();
}

void RouterMetrics::Connect(ConnectResult result) {
  metrics_
      ->Counter("holdfast_router_connects_total", "CONNECT packets by what they got",
                {{"result", std::string(Word(result))}})
      .Increment();
}

void RouterMetrics::Disconnect(CloseReason reason) {
  metrics_
      ->Counter("holdfast_router_disconnects_total", "Connections that ended after their CONNECT was accepted",
                {{"reason", std::string(Word(reason))}})
      .Increment();
}

void RouterMetrics::TwinRequest(const std::string& operation, int status) {
  metrics_
      ->Counter("holdfast_router_twin_requests_total", "Twin requests of clients by what they got",
                {{"operation", operation}, {"status", std::to_string(status)}})
      .Increment();
}

void RouterMetrics::DesiredPush() {
  desired_pushes_.Increment();
}

void RouterMetrics::Sessions(int difference) {
  sessions_.Increment(difference);
}

void RouterMetrics::PendingBytes(double difference) {
  pending_bytes_.Increment(difference);
}

}  // namespace holdfast::router
