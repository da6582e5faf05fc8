#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace holdfast::web {

// Events a second, from counters of several instances of a service: what they counted since the reading before. A
// counter that is new says nothing yet; one that fell was begun anew by a restart, and counts from zero. Pure; not
// thread-safe.
class CounterRate {
 public:
  // By instance; empty: nobody could be asked. nullopt while there is nothing to compare with.
  std::optional<double> Add(absl::Duration at, std::map<std::string, uint64_t> counters);

 private:
  absl::Duration last_at_;
  std::map<std::string, uint64_t> last_;
};

}  // namespace holdfast::web
