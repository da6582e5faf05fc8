#pragma once

#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace holdfast {

// Tells systemd how a process is that it started with Type=notify (sd_notify(3)); does nothing under any other parent.
// With WatchdogSec= it says that the process lives as long as the process's own gRPC server answers a health check over
// its socket, whatever the answer: a process that hangs is restarted. Thread-safe.
class SupervisorNotice {
 public:
  // The gRPC server's socket.
  explicit SupervisorNotice(std::string socket_path);
  ~SupervisorNotice();
  SupervisorNotice(const SupervisorNotice&) = delete;
  SupervisorNotice& operator=(const SupervisorNotice&) = delete;

  // READY=1: what the process serves is up.
  void Ready();
  // STOPPING=1.
  void Stopping();

 private:
  void Watch();

  const std::string socket_path_;
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace holdfast
