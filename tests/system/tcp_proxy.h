#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "lib/base/unique_fd.h"

namespace holdfast::systest {

// A TCP relay on 127.0.0.1 that can go silent: connections stay open, nothing passes, nothing is refused; the half-open
// link of a dead radio or a NAT that forgot. Runs a thread of its own; all methods are thread-safe.
class TcpProxy {
 public:
  explicit TcpProxy(int target_port);
  ~TcpProxy();

  int port() const { return port_; }
  // Where connections from now on lead.
  void SetTarget(int port) { target_port_ = port; }
  // Silent: what flowed so far stays connected but moves no byte more, and what connects anew gets no answer.
  // Not silent again: old connections stay dead (they are closed), new ones work.
  void SetSilent(bool silent) { silent_ = silent; }
  // Closes all connections, once.
  void Cut() { cut_ = true; }

 private:
  struct Pair {
    UniqueFd client;
    UniqueFd target;
    bool dead = false;  // was connected while silent
  };
  void Run();
  void Accept();
  static bool Relay(int from, int to);

  std::atomic<int> target_port_;
  int port_ = 0;
  UniqueFd listener_;
  std::vector<std::unique_ptr<Pair>> pairs_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> silent_ = false;
  std::atomic<bool> cut_ = false;
  std::thread thread_;
};

}  // namespace holdfast::systest
