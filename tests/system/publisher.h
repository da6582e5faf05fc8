#pragma once

#include <atomic>
#include <deque>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "tests/system/mqtt_stream.h"

namespace holdfast::systest {

// A device that publishes at QoS 1 with a window, and never gives up: it reconnects, and sends what was not
// acknowledged again, in order, with DUP and its old packet identifier. Runs a thread of its own; all methods are
// thread-safe.
class Publisher {
 public:
  struct Options {
    int port = 0;
    std::string device;  // or "device/module"
    std::string key;
    std::string hub_hostname;
    uint64_t count = UINT64_MAX;  // messages to send, then it stays connected
    uint32_t window = 32;
    size_t payload_bytes = 64;
    std::string bag;  // property bag at the end of the topic
    double rate = 0;  // messages per second, 0 = as the window allows
  };

  explicit Publisher(Options options);
  // Stops at once.
  ~Publisher();

  // Raises (or lowers) the number of messages to send in all.
  void Allow(uint64_t count) { count_ = count; }
  // No new messages from now on; true once all that was sent is acknowledged.
  bool Finish(absl::Duration timeout);
  // True once all `count` messages are acknowledged.
  bool WaitUntilAcknowledged(uint64_t count, absl::Duration timeout);

  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t sent() const { return sent_; }
  // Successful CONNECTs, and messages sent again after one.
  uint64_t connects() const { return connects_; }
  uint64_t resent() const { return resent_; }
  // PUBACKs that did not come in the order of the PUBLISHes.
  uint64_t out_of_order_acks() const { return out_of_order_acks_; }
  // The last refusal.
  std::optional<mqtt::ConnackCode> refused() const;
  const std::string& device() const { return options_.device; }

 private:
  void Run();
  bool Login();
  bool Resend();
  bool Publish();
  bool ReadAcks();
  void AppendMessage(uint64_t sequence, bool dup, std::string* out) const;
  bool MaySend() const;

  const Options options_;
  const std::string device_;
  const std::string module_;
  std::atomic<uint64_t> count_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> finish_ = false;
  std::atomic<uint64_t> acknowledged_ = 0;  // sequences below are acknowledged
  std::atomic<uint64_t> sent_ = 0;          // next sequence
  std::atomic<uint64_t> connects_ = 0;
  std::atomic<uint64_t> resent_ = 0;
  std::atomic<uint64_t> out_of_order_acks_ = 0;
  mutable absl::Mutex mutex_;
  std::optional<mqtt::ConnackCode> refused_ ABSL_GUARDED_BY(mutex_);
  MqttStream stream_;
  absl::Time started_;
  std::thread thread_;
};

}  // namespace holdfast::systest
