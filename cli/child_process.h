#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/unique_fd.h"

namespace holdfast::cli {

struct ChildSpec {
  std::string name;                      // For messages and the prefix of its log lines: "store".
  std::vector<std::string> argv;         // argv[0] is the path of the program.
  std::vector<std::string> environment;  // "NAME=value", added to ours, ours of the same name hidden.
};

// A running program: in a process group of its own, so that the terminal's Ctrl-C does not reach it; killed by the
// kernel when the thread that started it ends, however that ends; its stdout and stderr come to us through one pipe.
// Not thread-safe.
class ChildProcess {
 public:
  // Returns after exec succeeded. Error: the program can't be started, with the reason.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const ChildSpec& spec);
  // Kills and reaps it if it still runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  // Readable when the process has ended.
  int pidfd() const { return pidfd_.get(); }
  // Non-blocking; at its end when the process is gone. -1 after CloseOutput().
  int output() const { return output_.get(); }
  void CloseOutput() { output_ = UniqueFd(); }

  void Signal(int number);
  // True once the process has ended; reaps it then. Never waits.
  bool HasEnded();
  // How it ended: "exit code 1", "signal 9 (Killed)". Valid after HasEnded() was true.
  std::string EndText() const;
  int wait_status() const { return wait_status_; }

 private:
  ChildProcess() = default;

  pid_t pid_ = -1;
  UniqueFd pidfd_;
  UniqueFd output_;
  bool ended_ = false;
  int wait_status_ = 0;
};

}  // namespace holdfast::cli
