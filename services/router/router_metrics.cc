#include "services/router/router_metrics.h"

#include <string>

namespace holdfast::router {

RouterMetrics::RouterMetrics(Metrics* metrics)
    : metrics_(metrics),
      received_(metrics->Counter("holdfast_router_messages_received_total", "Telemetry messages received")),
      acknowledged_(metrics->Counter("holdfast_router_messages_acknowledged_total",
                                     "Telemetry messages on disk; those of QoS 1 were acknowledged")),
      duplicates_(metrics->Counter("holdfast_router_messages_duplicate_total",
                                   "Messages sent again by a client that were stored already")),
      limited_(metrics->Counter("holdfast_router_connects_limited_total",
                                "Connections closed unheard: too many failed ones from their address")),
      desired_pushes_(metrics->Counter("holdfast_router_desired_pushes_total",
                                       "Patches of desired properties that were sent to clients")),
      sessions_(metrics->Gauge("holdfast_router_sessions", "Connected clients")),
      pending_bytes_(metrics->Gauge("holdfast_router_pending_bytes", "Bytes received and not on disk yet")) {}

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
