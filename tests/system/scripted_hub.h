#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "tests/system/delivery.h"
#include "tests/system/mqtt_stream.h"

namespace holdfast::systest {

// A hub that writes down every message that reaches it, in the order of arrival, and misbehaves on command. Runs a
// thread of its own; all methods are thread-safe and take effect within a few milliseconds.
class ScriptedHub {
 public:
  // Port 0 = a free one. Listens at once.
  explicit ScriptedHub(int port = 0);
  ~ScriptedHub();

  int port() const { return port_; }

  // Off: messages are taken and never acknowledged. PINGREQ is still answered. What was owed when it is switched on
  // again is acknowledged then, on connections that still live.
  void SetAcknowledging(bool on) { acknowledging_ = on; }
  // Each connection is closed when it has brought this many messages, the last `unacknowledged` of which get no
  // acknowledgement. 0 = never. `times` limits how often that happens.
  void DropEvery(uint64_t messages, uint64_t unacknowledged, int times);
  // Unreachable: no listener, no connection.
  void SetReachable(bool reachable) { reachable_ = reachable; }
  // Messages per second at most, over all connections; 0 = no limit.
  void SetRate(uint64_t messages_per_second) { rate_ = messages_per_second; }

  std::vector<Arrival> Arrivals() const;
  // Different messages / all that arrived / connections that said CONNECT / connections dropped on purpose.
  uint64_t different() const { return different_; }
  uint64_t total() const { return total_; }
  uint64_t connects() const { return connects_; }
  uint64_t drops() const { return drops_; }
  bool connected() const { return connected_; }
  bool WaitForMessages(uint64_t different, absl::Duration timeout) const;
  // First message whose topic or payload was not of the expected form; empty if none.
  std::string Oddity() const;

 private:
  struct Connection;

  void Run();
  void Listen();
  void Serve(Connection* c);
  bool OnPacket(const mqtt::Frame& frame, Connection* c);
  void OnPublish(const mqtt::Publish& publish, Connection* c);

  int port_ = 0;
  UniqueFd listener_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::map<std::string, std::vector<bool>> seen_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> acknowledging_ = true;
  std::atomic<bool> reachable_ = true;
  std::atomic<uint64_t> rate_ = 0;
  std::atomic<uint64_t> drop_every_ = 0;
  std::atomic<uint64_t> drop_unacknowledged_ = 0;
  std::atomic<int> drop_times_ = 0;
  std::atomic<uint64_t> different_ = 0;
  std::atomic<uint64_t> total_ = 0;
  std::atomic<uint64_t> connects_ = 0;
  std::atomic<uint64_t> drops_ = 0;
  std::atomic<bool> connected_ = false;
  mutable absl::Mutex mutex_;
  std::vector<Arrival> arrivals_ ABSL_GUARDED_BY(mutex_);
  std::string oddity_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace holdfast::systest
