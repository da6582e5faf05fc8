#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "cli/web/history.h"
#include "cli/web/site_events.h"

namespace holdfast::web {

// All that a page shows of one second.
struct Tick {
  Sample sample;
  absl::Time wall;
  nlohmann::json drain;
  std::map<std::string, nlohmann::json> sections;
  std::deque<Event> events;  // the newest, oldest first
};

// What open pages are told, as server-sent events (HTML standard, "Server-sent events"): first a `snapshot` of
// everything, history too, then a `tick` a second with the sample, the sections that changed and the events that are
// new. A page that falls behind by more than kTicksKept gets a snapshot again. Thread-safe.
class Feed {
 public:
  static constexpr size_t kTicksKept = 30;

  // `facts` are part of each snapshot: {"gateway", "version", …}.
  explicit Feed(nlohmann::json facts) : facts_(std::move(facts)) {}

  void Publish(Tick tick);

  // What a page that was told everything up to `*cursor` does not know yet, and moves the cursor; "" = nothing. 0 = it
  // knows nothing: a snapshot. Before the first tick there is nothing to tell.
  std::string Next(uint64_t* cursor) const;
  // The snapshot alone, as JSON; null before the first tick.
  nlohmann::json Snapshot() const;

 private:
  nlohmann::json SnapshotLocked() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const nlohmann::json facts_;
  mutable absl::Mutex mutex_;
  uint64_t number_ ABSL_GUARDED_BY(mutex_) = 0;  // of the last tick; 0 = none yet
  Tick last_ ABSL_GUARDED_BY(mutex_);
  History history_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> messages_ ABSL_GUARDED_BY(mutex_);  // of the last ticks, up to number_
};

}  // namespace holdfast::web
