#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/metrics.h"
#include "lib/routes/route_table.h"
#include "services/router/close_reason.h"
#include "services/router/connect_rules.h"
#include "services/router/log_limit.h"

namespace holdfast::router {

// What router counts. Thread-safe; called per batch, not per message.
class RouterMetrics {
 public:
  explicit RouterMetrics(Metrics* metrics);

  void Received(uint64_t messages);
  void Acknowledged(uint64_t messages);
  void Duplicate();
  void Connect(ConnectResult result);
  // A connection that was closed unheard, since too many from its address had failed.
  void ConnectLimited();
  void Disconnect(CloseReason reason);
  // A message that matched no route.
  void Dropped(routes::NoMatch reason);
  // A copy that would have gone in a circle.
  void DroppedForHops(std::string_view client_id, std::string_view queue, uint32_t hops);
  // Messages sent to clients; `again` = so many of them with DUP.
  void Delivered(uint64_t messages, uint64_t again);
  void Undeliverable();
  // `operation` is "get" or "patch", `status` its answer's.
  void TwinRequest(const std::string& operation, int status);
  void DesiredPush();
  // One more or fewer.
  void Sessions(int difference);
  void PendingBytes(double difference);

  uint64_t received() const { return received_count_.load(std::memory_order_relaxed); }
  uint64_t acknowledged() const { return acknowledged_count_.load(std::memory_order_relaxed); }

  Metrics* registry() { return metrics_; }

 private:
  Metrics* const metrics_;
  prometheus::Counter& received_;
  prometheus::Counter& acknowledged_;
  prometheus::Counter& duplicates_;
  prometheus::Counter& limited_;
  // By routes::NoMatch.
  prometheus::Counter* dropped_[routes::kNoMatchReasons];
  prometheus::Counter& dropped_for_hops_;
  LogLimit hops_log_;
  prometheus::Counter& delivered_;
  prometheus::Counter& delivered_again_;
  prometheus::Counter& undeliverable_;
  prometheus::Counter& desired_pushes_;
  prometheus::Gauge& sessions_;
  prometheus::Gauge& pending_bytes_;
  std::atomic<uint64_t> received_count_ = 0;
  std::atomic<uint64_t> acknowledged_count_ = 0;
};

}  // namespace holdfast::router
