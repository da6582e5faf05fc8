#pragma once

#include <string>

#include "tests/system/process.h"

namespace holdfast::systest {

// A real mosquitto as the hub, on a port of 127.0.0.1. With `persistent` it keeps sessions and queues over a
// Stop/Start. Not thread-safe.
class Mosquitto {
 public:
  // Writes its configuration and data under `dir`. Port 0 = a free one. Does not start it.
  Mosquitto(const std::string& dir, int port = 0, bool persistent = true);

  // Returns when it accepts connections; false if it does not within 10 s.
  bool Start();
  bool Stop() { return process_.Stop(); }
  void Kill() { process_.Kill(); }
  // Stands still without closing anything, and goes on.
  void Freeze() { process_.Signal(19); }
  void Thaw() { process_.Signal(18); }

  int port() const { return port_; }
  std::string url() const { return "mqtt://127.0.0.1:" + std::to_string(port_); }

 private:
  const int port_;
  Process process_;
};

}  // namespace holdfast::systest
