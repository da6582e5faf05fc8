// Runs a list of programs as one: starts them in order, forwards what they print, restarts who dies, stops them in
// reverse order.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/child_process.h"
#include "lib/rpc/channel.h"

namespace holdfast::cli {

// Not thread-safe: all calls from one thread, the one that lives longest (a child dies with the thread that started
// it). It blocks SIGINT and SIGTERM in that thread and takes them as the wish to stop.
class Supervisor {
 public:
  struct Options {
    absl::Duration ready_timeout = absl::Seconds(120);
    absl::Duration stop_timeout = absl::Seconds(10);
    // A child that lived this long has a new immediate restart.
    absl::Duration steady_after = absl::Seconds(10);
    absl::Duration restart_initial = absl::Milliseconds(200);
    absl::Duration restart_max = absl::Seconds(10);
  };

  // `is_ready` is asked every 20 ms or so while a program starts, and should answer within half a second. `on_start` is
  // told each start and restart; may be null.
  Supervisor(const Options& options, std::vector<ChildSpec> specs,
             std::function<bool(const std::string& name)> is_ready,
             std::function<void(const std::string& name, pid_t pid)> on_start);
  // Kills what still runs.
  ~Supervisor();

  // Starts all, each when the one before is ready. CANCELLED if asked to stop meanwhile; else the error of a
  // program that can't be started, ended, or was not ready in time. On error StopAll() is still to be called.
  absl::Status StartAll();

  // Keeps them running until SIGINT or SIGTERM.
  void RunUntilStopped();

  // SIGTERM from the last to the first, each with its time to end, then SIGKILL; a second SIGINT or SIGTERM kills at
  // once.
  void StopAll();

 private:
  struct Slot {
    explicit Slot(ChildSpec s, const Options& o) : spec(std::move(s)), backoff(o.restart_initial, o.restart_max) {}
    ChildSpec spec;
    std::unique_ptr<ChildProcess> process;
    std::string partial_line;
    std::string last_line;
    absl::Time started_at;
    absl::Time restart_at = absl::InfiniteFuture();
    bool first_restart_used = false;
    rpc::Backoff backoff;
  };

  absl::Status StartSlot(Slot& slot);
  absl::Status WaitUntilReady(Slot& slot);
  // Waits for events, at most `timeout`; forwards output; notes signals.
  void Poll(absl::Duration timeout);
  void ForwardOutput(Slot& slot);
  void WriteLine(const Slot& slot, std::string_view line) const;
  void RestartTheDead();
  absl::Duration UntilNextRestart() const;

  const Options options_;
  const std::function<bool(const std::string&)> is_ready_;
  const std::function<void(const std::string&, pid_t)> on_start_;
  UniqueFd signals_;
  int stop_requests_ = 0;
  size_t name_width_ = 0;
  std::vector<std::unique_ptr<Slot>> slots_;
};

}  // namespace holdfast::cli
