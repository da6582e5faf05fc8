#pragma once

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "tests/system/delivery.h"
#include "tests/system/mqtt_stream.h"

namespace holdfast::systest {

// A persistent subscriber at a broker: reconnects by itself and writes down every message of a publisher that arrives.
// Runs a thread of its own; all methods are thread-safe.
class Recorder {
 public:
  explicit Recorder(int port, std::string filter = "devices/#");
  ~Recorder();

  // True once the subscription was confirmed.
  bool WaitUntilSubscribed(absl::Duration timeout);
  // True once that many different messages have arrived.
  bool WaitForMessages(uint64_t different, absl::Duration timeout);
  std::vector<Arrival> Arrivals() const;
  uint64_t different() const;
  uint64_t total() const;

 private:
  void Run();
  bool Subscribe();
  void Record(const mqtt::Publish& publish);

  const int port_;
  const std::string filter_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> subscribed_ = false;
  mutable absl::Mutex mutex_;
  std::vector<Arrival> arrivals_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<bool>> seen_ ABSL_GUARDED_BY(mutex_);
  uint64_t different_ ABSL_GUARDED_BY(mutex_) = 0;
  MqttStream stream_;
  std::thread thread_;
};

}  // namespace holdfast::systest
