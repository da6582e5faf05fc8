#include "cli/web/counter_rate.h"

#include <utility>

namespace holdfast::web {

std::optional<double> CounterRate::Add(absl::Duration at, std::map<std::string, uint64_t> counters) {
  uint64_t counted = 0;
  bool is_known = false;
  for (const auto& [instance, value] : counters) {
    const auto before = last_.find(instance);
    if (before == last_.end()) continue;
    is_known = true;
    counted += value >= before->second ? value - before->second : value;
  }
  const double seconds = absl::ToDoubleSeconds(at - last_at_);
  last_ = std::move(counters);
  last_at_ = at;
  if (!is_known || seconds <= 0) return std::nullopt;
  return static_cast<double>(counted) / seconds;
}

}  // namespace holdfast::web
