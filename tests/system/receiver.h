#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tests/system/delivery.h"
#include "tests/system/mqtt_stream.h"

namespace holdfast::systest {

// A client that waits for messages in a session that outlives its connections (CleanSession 0): subscribes once in its
// life, writes down every message of a publisher that arrives, acknowledges them some at a time, and reconnects by
// itself. Runs a thread of its own; all methods are thread-safe.
class Receiver {
 public:
  struct Options {
    int port = 0;
    std::string client;  // "device" or "device/module"
    std::string key;
    std::string hub_hostname;
    std::string filter;
    // Acknowledges when so many have come, or when no more come.
    size_t acknowledge_at = 1;
  };

  explicit Receiver(Options options);
  ~Receiver();

  bool WaitUntilSubscribed(absl::Duration timeout);
  // True once that many different messages have arrived.
  bool WaitForMessages(uint64_t different, absl::Duration timeout);
  // Breaks the connection.
  void Break() { break_ = true; }
  // While true nothing is acknowledged.
  void HoldAcknowledgements(bool hold) { hold_ = hold; }

  std::vector<Arrival> Arrivals() const;
  uint64_t different() const;
  // Messages with DUP, and the most that were unacknowledged at a time.
  uint64_t dups() const { return dups_; }
  size_t held_max() const { return held_max_; }
  uint64_t connects() const { return connects_; }

 private:
  void Run();
  bool Login();
  void Serve();
  void Record(const mqtt::Publish& publish);

  const Options options_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> break_ = false;
  std::atomic<bool> hold_ = false;
  std::atomic<bool> subscribed_ = false;
  std::atomic<uint64_t> dups_ = 0;
  std::atomic<uint64_t> connects_ = 0;
  std::atomic<size_t> held_max_ = 0;
  mutable absl::Mutex mutex_;
  std::vector<Arrival> arrivals_ ABSL_GUARDED_BY(mutex_);
  std::vector<bool> seen_ ABSL_GUARDED_BY(mutex_);
  uint64_t different_ ABSL_GUARDED_BY(mutex_) = 0;
  MqttStream stream_;
  std::thread thread_;
};

}  // namespace holdfast::systest
