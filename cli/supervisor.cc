#include "cli/supervisor.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/time/clock.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

constexpr absl::Duration kReadyPoll = absl::Milliseconds(20);
constexpr absl::Duration kWaitNoticeEvery = absl::Seconds(10);
constexpr absl::Duration kDeadPoll = absl::Milliseconds(20);
constexpr size_t kLineMax = 64 << 10;

void Note(const std::string& text) {
  fmt::print(stderr, "dev    | {}\n", text);
}

UniqueFd BlockStopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

}  // namespace

Supervisor::Supervisor(const Options& options, std::vector<ChildSpec> specs,
                       std::function<bool(const std::string&)> is_ready,
                       std::function<void(const std::string&, pid_t)> on_start)
    : options_(options), is_ready_(std::move(is_ready)), on_start_(std::move(on_start)), signals_(BlockStopSignals()) {
  for (ChildSpec& spec : specs) {
    name_width_ = std::max(name_width_, spec.name.size());
    slots_.push_back(std::make_unique<Slot>(std::move(spec), options_));
  }
}

Supervisor::~Supervisor() = default;

absl::Status Supervisor::StartSlot(Slot& slot) {
  slot.restart_at = absl::InfiniteFuture();
  ASSIGN_OR_RETURN(slot.process, ChildProcess::Start(slot.spec));
  slot.started_at = absl::Now();
  if (on_start_) on_start_(slot.spec.name, slot.process->pid());
  return absl::OkStatus();
}

absl::Status Supervisor::WaitUntilReady(Slot& slot) {
  const absl::Time deadline = absl::Now() + options_.ready_timeout;
  absl::Time notice_at = absl::Now() + kWaitNoticeEvery;
  while (!is_ready_(slot.spec.name)) {
    Poll(kReadyPoll);
    if (stop_requests_ > 0) return absl::CancelledError("stopped while starting");
    if (slot.process->HasEnded()) {
      ForwardOutput(slot);
      return absl::UnavailableError(fmt::format("{} ended with {} while it started{}{}", slot.spec.name,
                                                slot.process->EndText(), slot.last_line.empty() ? "" : ": ",
                                                slot.last_line));
    }
    RestartTheDead();
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(fmt::format("{} was not ready within {}; its log above says why",
                                                     slot.spec.name, absl::FormatDuration(options_.ready_timeout)));
    }
    if (absl::Now() >= notice_at) {
      Note(fmt::format("still waiting for {} to be ready", slot.spec.name));
      notice_at += kWaitNoticeEvery;
    }
  }
  return absl::OkStatus();
}

absl::Status Supervisor::StartAll() {
  for (auto& slot : slots_) {
    RETURN_IF_ERROR(StartSlot(*slot));
    RETURN_IF_ERROR(WaitUntilReady(*slot));
  }
  return absl::OkStatus();
}

void Supervisor::RunUntilStopped() {
  while (stop_requests_ == 0) {
    RestartTheDead();
    Poll(UntilNextRestart());
  }
}

absl::Duration Supervisor::UntilNextRestart() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& slot : slots_) next = std::min(next, slot->restart_at);
  return std::clamp(next - absl::Now(), absl::ZeroDuration(), absl::Hours(1));
}

void Supervisor::RestartTheDead() {
  for (auto& slot : slots_) {
    if (slot->process != nullptr && slot->process->HasEnded()) {
      ForwardOutput(*slot);
      if (absl::Now() - slot->started_at > options_.steady_after) {
        slot->backoff.Reset();
        slot->first_restart_used = false;
      }
      const absl::Duration wait = slot->first_restart_used ? slot->backoff.Next() : absl::ZeroDuration();
      slot->first_restart_used = true;
      slot->restart_at = absl::Now() + wait;
      Note(fmt::format(
          "{} ended with {}; restarting it {}", slot->spec.name, slot->process->EndText(),
          wait == absl::ZeroDuration() ? "at once" : fmt::format("in {:.1f} s", absl::ToDoubleSeconds(wait))));
      slot->process.reset();
    }
    if (slot->restart_at <= absl::Now()) {
      if (const absl::Status status = StartSlot(*slot); !status.ok()) {
        Note(std::string(status.message()));
        slot->restart_at = absl::Now() + options_.restart_max;
      }
    }
  }
}

void Supervisor::StopAll() {
  Note("stopping; Ctrl-C once more kills what does not stop");
  for (auto it = slots_.rbegin(); it != slots_.rend(); ++it) {
    Slot& slot = **it;
    slot.restart_at = absl::InfiniteFuture();
    if (slot.process == nullptr) continue;
    const int requests_before = stop_requests_;
    const absl::Time deadline = absl::Now() + options_.stop_timeout;
    slot.process->Signal(SIGTERM);
    while (!slot.process->HasEnded()) {
      if (absl::Now() >= deadline || stop_requests_ > std::max(1, requests_before)) {
        Note(fmt::format("{} did not stop in time; killing it", slot.spec.name));
        slot.process->Signal(SIGKILL);
      }
      Poll(std::clamp(deadline - absl::Now(), absl::Milliseconds(50), options_.stop_timeout));
    }
    ForwardOutput(slot);
    slot.process.reset();
  }
}

void Supervisor::Poll(absl::Duration timeout) {
  std::vector<pollfd> fds = {{signals_.get(), POLLIN, 0}};
  for (const auto& slot : slots_) {
    if (slot->process == nullptr) continue;
    if (slot->process->HasEnded()) {
      timeout = std::min(timeout, kDeadPoll);  // Its pidfd would stay readable and wake us at once, for ever.
    } else {
      fds.push_back({slot->process->pidfd(), POLLIN, 0});
    }
    if (slot->process->output() >= 0) fds.push_back({slot->process->output(), POLLIN, 0});
  }
  // Rounded up, so that a wait of less than a millisecond does not spin.
  const auto milliseconds = static_cast<int>(absl::ToInt64Milliseconds(timeout + absl::Microseconds(999)));
  ::poll(fds.data(), fds.size(), milliseconds);
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) ++stop_requests_;
  for (auto& slot : slots_) ForwardOutput(*slot);
}

void Supervisor::ForwardOutput(Slot& slot) {
  if (slot.process == nullptr || slot.process->output() < 0) return;
  char buffer[16 << 10];
  ssize_t got;
  while ((got = ::read(slot.process->output(), buffer, sizeof buffer)) > 0) {
    slot.partial_line.append(buffer, static_cast<size_t>(got));
    size_t begin = 0;
    for (size_t end; (end = slot.partial_line.find('\n', begin)) != std::string::npos; begin = end + 1) {
      slot.last_line = slot.partial_line.substr(begin, end - begin);
      WriteLine(slot, slot.last_line);
    }
    slot.partial_line.erase(0, begin);
    if (slot.partial_line.size() > kLineMax) {
      WriteLine(slot, slot.partial_line);
      slot.partial_line.clear();
    }
  }
  if (got == 0) {
    if (!slot.partial_line.empty()) WriteLine(slot, slot.last_line = std::exchange(slot.partial_line, {}));
    slot.process->CloseOutput();
  }
}

void Supervisor::WriteLine(const Slot& slot, std::string_view line) const {
  const std::string text = fmt::format("{:<{}} | {}\n", slot.spec.name, name_width_, line);
  // One write a line, so that lines of several writers to the same terminal do not mix.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace holdfast::cli
