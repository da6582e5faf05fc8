#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include <map>
#include <string>

#include "lib/base/metrics.h"

namespace holdfast::store {

// The store's Prometheus metrics. Thread-safe, but for Queue().
struct EngineMetrics {
  explicit EngineMetrics(Metrics* metrics);

  prometheus::Counter& appended_records;
  prometheus::Counter& passed_records;
  prometheus::Counter& groups;
  prometheus::Counter& failed_writes;
  prometheus::Gauge& bytes;
  prometheus::Gauge& serving;
  prometheus::Gauge& held_appends;
  prometheus::Histogram& commit_seconds;
  prometheus::Histogram& group_records;
  prometheus::Histogram& group_bytes;

  // The first kQueuesMax queues get gauges of their own, but for those of single clients.
  struct QueueGauges {
    prometheus::Gauge* records = nullptr;
    prometheus::Gauge* bytes = nullptr;
    prometheus::Gauge* oldest_age_seconds = nullptr;
    prometheus::Gauge* dropped[4] = {};  // expired, full, corrupt, operator
  };
  QueueGauges* Queue(const std::string& name);

 private:
  static constexpr size_t kQueuesMax = 32;
  Metrics* const metrics_;
  std::map<std::string, QueueGauges> queues_;
};

}  // namespace holdfast::store
