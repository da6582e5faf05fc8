#include "lib/base/metrics.h"

#include <fmt/format.h>
#include <prometheus/exposer.h>

#include "absl/status/status.h"

namespace holdfast {

Metrics::Metrics() : registry_(std::make_shared<prometheus::Registry>()) {}
Metrics::~Metrics() = default;

absl::StatusOr<std::unique_ptr<Metrics>> Metrics::Create(const std::string& address) {
  auto metrics = std::unique_ptr<Metrics>(new Metrics());
  if (!address.empty()) {
    try {
      metrics->exposer_ = std::make_unique<prometheus::Exposer>(address, 1);
      metrics->exposer_->RegisterCollectable(metrics->registry_);
    } catch (const std::exception& e) {
      return absl::FailedPreconditionError(fmt::format(
          "metrics can't listen on {}: {}; choose another metrics address or \"\" for none", address, e.what()));
    }
  }
  return metrics;
}

prometheus::Counter& Metrics::Counter(const std::string& name, const std::string& help,
                                      const prometheus::Labels& labels) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry_).Add(labels);
}

prometheus::Gauge& Metrics::Gauge(const std::string& name, const std::string& help, const prometheus::Labels& labels) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry_).Add(labels);
}

prometheus::Histogram& Metrics::Histogram(const std::string& name, const std::string& help,
                                          const prometheus::Histogram::BucketBoundaries& bounds,
                                          const prometheus::Labels& labels) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(*registry_).Add(labels, bounds);
}

}  // namespace holdfast
