#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace prometheus {
class Exposer;
}

namespace holdfast {

// A process's Prometheus registry, and the HTTP endpoint that shows it (http://HOST:PORT/metrics). Thread-safe.
// Names: holdfast_<service>_<what>_<unit>, counters end in _total. No label with a device's id.
class Metrics {
 public:
  // `address`: "127.0.0.1:9601", or "" = no endpoint. Error if the port is taken.
  static absl::StatusOr<std::unique_ptr<Metrics>> Create(const std::string& address);
  ~Metrics();

  prometheus::Registry& registry() { return *registry_; }

  // Shorthands; a second call with the same name and labels gives the same metric.
  prometheus::Counter& Counter(const std::string& name, const std::string& help, const prometheus::Labels& labels = {});
  prometheus::Gauge& Gauge(const std::string& name, const std::string& help, const prometheus::Labels& labels = {});
  prometheus::Histogram& Histogram(const std::string& name, const std::string& help,
                                   const prometheus::Histogram::BucketBoundaries& bounds,
                                   const prometheus::Labels& labels = {});

 private:
  Metrics();
  const std::shared_ptr<prometheus::Registry> registry_;
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace holdfast
