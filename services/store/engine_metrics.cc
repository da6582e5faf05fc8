#include "services/store/engine_metrics.h"

#include "lib/record/queue_names.h"

namespace holdfast::store {
namespace {

const prometheus::Histogram::BucketBoundaries kSeconds = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                                          0.025,  0.05,    0.1,    0.25,  0.5,    1,     5};
const prometheus::Histogram::BucketBoundaries kRecords = {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536};
const prometheus::Histogram::BucketBoundaries kBytes = {1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216};

}  // namespace

EngineMetrics::EngineMetrics(Metrics* metrics)
    : appended_records(metrics->Counter("holdfast_store_appended_records_total", "Records committed to queues")),
      passed_records(
          metrics->Counter("holdfast_store_passed_records_total", "Records that a consumer's checkpoint passed")),
      groups(metrics->Counter("holdfast_store_commits_total", "Group commits, one fsync each")),
      failed_writes(metrics->Counter("holdfast_store_failed_writes_total",
                                     "Writes that failed and made the store reopen its database")),
      bytes(metrics->Gauge("holdfast_store_bytes", "Bytes of blocks held in all queues")),
      serving(metrics->Gauge("holdfast_store_writable", "1 = accepts writes, 0 = full or being reopened")),
      held_appends(metrics->Gauge("holdfast_store_held_appends", "Appends that wait for room")),
      commit_seconds(metrics->Histogram("holdfast_store_commit_seconds",
                                        "From the first request of a group to its fsync", kSeconds)),
      group_records(metrics->Histogram("holdfast_store_commit_records", "Records appended in a group", kRecords)),
      group_bytes(metrics->Histogram("holdfast_store_commit_bytes", "Bytes written in a group", kBytes)),
      metrics_(metrics) {}

EngineMetrics::QueueGauges* EngineMetrics::Queue(const std::string& name) {
  if (const auto it = queues_.find(name); it != queues_.end()) return &it->second;
  // No label with a client's id, and no series for each client.
  if (name.starts_with(kInboxQueues) || name.starts_with(kInputQueues)) return nullptr;
  if (queues_.size() >= kQueuesMax) return nullptr;
  QueueGauges& gauges = queues_[name];
  gauges.records = &metrics_->Gauge("holdfast_store_queue_records", "Records held", {{"queue", name}});
  gauges.bytes = &metrics_->Gauge("holdfast_store_queue_bytes", "Bytes of blocks held", {{"queue", name}});
  gauges.oldest_age_seconds =
      &metrics_->Gauge("holdfast_store_queue_oldest_age_seconds", "Age of the oldest record", {{"queue", name}});
  static constexpr const char* kReasons[] = {"expired", "full", "corrupt", "operator"};
  for (int i = 0; i < 4; ++i) {
    gauges.dropped[i] =
        &metrics_->Gauge("holdfast_store_queue_dropped_records", "Records dropped since the queue was made",
                         {{"queue", name}, {"reason", kReasons[i]}});
  }
  return &gauges;
}

}  // namespace holdfast::store
