#include "cli/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "can't make a pipe");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::vector<std::string> MergedEnvironment(const std::vector<std::string>& added) {
  std::vector<std::string> merged = added;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view ours(*entry);
    const std::string_view name = ours.substr(0, ours.find('=') + 1);
    bool hidden = false;
    for (const std::string& a : added) hidden = hidden || std::string_view(a).starts_with(name);
    if (!hidden) merged.emplace_back(ours);
  }
  return merged;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& s : strings) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Between fork and exec, in a process whose other threads are gone: async-signal-safe calls only.
[[noreturn]] void BecomeProgram(char* const* argv, char* const* environment, int output, int error_report,
                                pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // The parent died before the line above.
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  const int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  ::execve(argv[0], argv, environment);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(error_report, &error, sizeof error);
  ::_exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(const ChildSpec& spec) {
  ASSIGN_OR_RETURN(Pipe output, MakePipe());
  ASSIGN_OR_RETURN(Pipe exec_error, MakePipe());
  const std::vector<std::string> environment = MergedEnvironment(spec.environment);
  const std::vector<char*> argv_pointers = Pointers(spec.argv);
  const std::vector<char*> environment_pointers = Pointers(environment);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus(errno, fmt::format("can't start {}", spec.argv[0]));
  if (pid == 0) {
    BecomeProgram(argv_pointers.data(), environment_pointers.data(), output.write.get(), exec_error.write.get(),
                  parent);
  }
  auto child = std::unique_ptr<ChildProcess>(new ChildProcess());
  child->pid_ = pid;
  child->pidfd_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  output.write = UniqueFd();
  exec_error.write = UniqueFd();
  int error = 0;
  ssize_t got;
  do {
    got = ::read(exec_error.read.get(), &error, sizeof error);
  } while (got < 0 && errno == EINTR);
  if (got == sizeof error) return ErrnoStatus(error, fmt::format("can't start {}", spec.argv[0]));
  if (!child->pidfd_.valid()) return absl::InternalError(fmt::format("can't watch {}: no pidfd", spec.name));
  ::fcntl(output.read.get(), F_SETFL, O_NONBLOCK);
  child->output_ = std::move(output.read);
  return child;
}

ChildProcess::~ChildProcess() {
  if (pid_ <= 0 || ended_) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, &wait_status_, 0) < 0 && errno == EINTR) {
  }
}

void ChildProcess::Signal(int number) {
  if (!ended_) ::kill(pid_, number);
}

bool ChildProcess::HasEnded() {
  if (!ended_ && ::waitpid(pid_, &wait_status_, WNOHANG) == pid_) ended_ = true;
  return ended_;
}

std::string ChildProcess::EndText() const {
  if (WIFSIGNALED(wait_status_)) {
    const int number = WTERMSIG(wait_status_);
    return fmt::format("signal {} ({})", number, strsignal(number));
  }
  return fmt::format("exit code {}", WEXITSTATUS(wait_status_));
}

}  // namespace holdfast::cli
