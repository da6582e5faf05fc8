#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/web/counter_rate.h"
#include "cli/web/drain_estimate.h"
#include "holdfast/store/v1/store.pb.h"

namespace holdfast::web {

// The queues of a store as they are shown: how many there are and what they hold, and of those with most in them the
// rates and when they will be empty. Bounded by kShownMax. Not thread-safe; no I/O.
class QueueTrends {
 public:
  static constexpr size_t kShownMax = 20;

  // A list of all queues. `is_link_up`: whether what is bound for the hub can leave.
  void Add(absl::Duration at, bool is_link_up, const std::vector<store::v1::Queue>& queues);
  // There is no store to ask.
  void Clear();

  // {"total", "records", "bytes", "shown": [{"name", "records", "bytes", "oldest_s", "in", "out", "drain": {…}, …}]};
  // null before the first list. The queue bound for the hub is shown in any case, first.
  nlohmann::json Json() const;

 private:
  struct Trend {
    store::v1::Queue queue;
    CounterRate in_rate, out_rate;
    std::optional<double> in, out;
    DrainEstimate estimate;
    Drain drain;
  };
  void Follow(absl::Duration at, bool is_link_up, const store::v1::Queue& queue, Trend* trend);

  bool is_known_ = false;
  size_t total_ = 0;
  uint64_t records_ = 0;
  uint64_t bytes_ = 0;
  std::vector<std::string> order_;
  std::map<std::string, Trend> shown_;
};

nlohmann::json DrainJson(const Drain& drain);

}  // namespace holdfast::web
