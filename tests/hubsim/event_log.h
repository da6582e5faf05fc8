#pragma once

#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace holdfast::hubsim {

// On which connection, as whom, and through which gateway a message came.
struct Sender {
  std::string device_id;
  std::string module_id;
  std::string actor;
  uint64_t connection = 0;
};

// The telemetry that the hub took, in the order in which it did, numbered from 0. Bounded by a number of messages and
// of bytes; the oldest go first, and are counted. Optionally everything goes to a file too, a JSON line each. Not
// thread-safe.
class EventLog {
 public:
  struct Options {
    size_t events_max = 1'000'000;
    size_t bytes_max = 512u << 20;
    // Appended to; empty: none.
    std::string file;
  };
  struct Event {
    uint64_t sequence = 0;
    int64_t enqueued_ms = 0;  // since 1970
    std::shared_ptr<const Sender> sender;
    std::string data;  // topic, then body
    uint32_t topic_size = 0;
    uint32_t bag_at = 0;  // the property bag is topic[bag_at…]
    uint8_t qos = 0;
    bool dup = false;
    bool retain = false;
  };
  // What Append needs to know; sequence is given by the log.
  struct Arrival {
    std::shared_ptr<const Sender> sender;
    std::string_view topic;
    size_t bag_at = 0;
    std::string_view body;
    uint8_t qos = 0;
    bool dup = false;
    bool retain = false;
  };

  static absl::StatusOr<std::unique_ptr<EventLog>> Create(Options options);
  ~EventLog();

  void Append(const Arrival& arrival, absl::Time now);
  // After one or more Append: flushes the file, tells the watchers.
  void Notify();
  // Forgets all messages; numbers go on.
  void Clear();

  uint64_t first() const { return next_ - events_.size(); }
  uint64_t next() const { return next_; }
  size_t bytes() const { return bytes_; }
  uint64_t dropped() const { return dropped_; }
  // first() <= sequence < next().
  const Event& At(uint64_t sequence) const { return events_[sequence - first()]; }

  // One line of JSON, without the end of line, appended to *out.
  static void AppendJson(const Event& event, std::string* out);

  // Calls `changed` at each Notify until Unwatch. `changed` must not call back.
  uint64_t Watch(std::function<void()> changed);
  void Unwatch(uint64_t id) { watchers_.erase(id); }

 private:
  explicit EventLog(Options options) : options_(std::move(options)) {}

  const Options options_;
  std::FILE* file_ = nullptr;
  uint64_t next_ = 0;
  size_t bytes_ = 0;
  uint64_t dropped_ = 0;
  std::deque<Event> events_;
  uint64_t next_watcher_ = 1;
  absl::btree_map<uint64_t, std::function<void()>> watchers_;
};

}  // namespace holdfast::hubsim
