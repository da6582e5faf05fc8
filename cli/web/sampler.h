#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cli/web/counter_rate.h"
#include "cli/web/drain_estimate.h"
#include "cli/web/feed.h"
#include "cli/web/queue_trends.h"
#include "cli/web/site.h"
#include "cli/web/site_events.h"
#include "cli/web/site_json.h"

namespace holdfast::web {

// From the answers of one round to what is told of it. Not thread-safe; no I/O.
class Digest {
 public:
  explicit Digest(HeadFacts facts) : facts_(std::move(facts)) {}
  Tick Add(const SiteState& state);

 private:
  const HeadFacts facts_;
  CounterRate in_rate_, out_rate_;
  DrainEstimate estimate_;
  QueueTrends queues_;
  SiteEvents events_;
};

// Asks the services each kEvery, on a thread of its own, and publishes what they said. A service that does not answer
// makes a round longer, never a second one beside it.
class Sampler {
 public:
  static constexpr absl::Duration kEvery = absl::Seconds(1);
  // All queues are listed so often while somebody looks, and while nobody does.
  static constexpr absl::Duration kQueuesEvery = absl::Seconds(2);
  static constexpr absl::Duration kQueuesSeldom = absl::Minutes(1);

  // `is_watched`, and `on_tick` after each round, are called on that thread. All must outlive it.
  Sampler(const Clock& clock, Site* site, Feed* feed, HeadFacts facts, std::function<bool()> is_watched,
          std::function<void()> on_tick);
  ~Sampler();

 private:
  void Loop();

  const Clock& clock_;
  Site* const site_;
  Feed* const feed_;
  const std::function<bool()> is_watched_;
  const std::function<void()> on_tick_;
  Digest digest_;
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace holdfast::web
