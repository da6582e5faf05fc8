#pragma once

#include <netinet/in.h>
#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace holdfast::systest {

// Asks `condition` every few milliseconds until it holds; false if it did not within `timeout`.
bool WaitFor(absl::Duration timeout, const std::function<bool()>& condition);

// 127.0.0.1:port.
sockaddr_in Loopback(int port);

// A TCP port of 127.0.0.1 that nobody listens on at this moment.
int FreePort();

// Whether somebody accepts connections on that port of 127.0.0.1.
bool PortAnswers(int port);

// The folder of the running test binary, where the gateway's binaries are too.
std::string BinDir();

// One real process, its output in a file. Killed with the test, however that ends. Not thread-safe.
class Process {
 public:
  // `argv[0]` is a path, or a name to be found in $PATH. `env` is added to the test's own.
  Process(std::vector<std::string> argv, std::string log_path, std::map<std::string, std::string> env = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Starts it (again). Output is appended to the log.
  void Start();
  void Signal(int signal) const;
  // SIGKILL, and waits for the end.
  void Kill();
  // SIGTERM, and waits; false if it had to be killed.
  bool Stop(absl::Duration timeout = absl::Seconds(15));
  // Waits for the end by itself. False: still running.
  bool WaitForExit(absl::Duration timeout);

  bool running();
  pid_t pid() const { return pid_; }
  // Of the last run, once it has ended: exit code, or -signal.
  int exit_code() const { return exit_code_; }
  std::string Log() const;
  const std::string& log_path() const { return log_path_; }

 private:
  bool Reap(bool block);

  const std::vector<std::string> argv_;
  const std::string log_path_;
  const std::map<std::string, std::string> env_;
  pid_t pid_ = -1;
  int exit_code_ = 0;
};

std::string ReadFile(const std::string& path);
void WriteFile(const std::string& path, const std::string& text);

}  // namespace holdfast::systest
