#include "lib/testing/swtpm.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/base/unique_fd.h"

namespace holdfast {
namespace {

constexpr absl::Duration kStartWithin = absl::Seconds(10);

// TPM 2.0 Part 2, 6.5.2 (command codes) and 7.4 (permanent handles).
constexpr uint32_t kCcClear = 0x126;
constexpr uint32_t kCcHierarchyChangeAuth = 0x129;
constexpr uint32_t kCcDictionaryAttackParameters = 0x13a;
constexpr uint32_t kOwner = 0x40000001;
constexpr uint32_t kPassword = 0x40000009;
constexpr uint32_t kLockout = 0x4000000a;

std::string BigEndian(uint32_t value, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
  return out;
}

UniqueFd Connect(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return UniqueFd();
  return fd;
}

}  // namespace

Swtpm::Swtpm() {
  std::filesystem::create_directories(dir_ / "state");
}

Swtpm::~Swtpm() {
  Stop();
}

bool Swtpm::Start() {
  const std::string state = "dir=" + dir_ / "state";
  const std::string server = "type=unixio,path=" + socket_;
  const std::string control = server + ".ctrl";  // as tpm2-tss expects it
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);  // a line for each client that goes
    ::execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state.c_str(), "--server", server.c_str(), "--ctrl",
             control.c_str(), "--flags", "not-need-init,startup-clear", nullptr);
    ::_exit(127);
  }
  const absl::Time deadline = absl::Now() + kStartWithin;
  while (absl::Now() < deadline) {
    if (Connect(socket_).valid() && Connect(socket_ + ".ctrl").valid()) return true;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return false;
}

void Swtpm::Stop() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
  std::filesystem::remove(socket_);
  std::filesystem::remove(socket_ + ".ctrl");
}

void Swtpm::Replace() {
  Stop();
  std::filesystem::remove_all(dir_ / "state");
  std::filesystem::create_directories(dir_ / "state");
}

bool Swtpm::Clear() {
  return Command(kCcClear, kLockout, "");
}

bool Swtpm::LockOut() {
  // No failed attempt is allowed: locked at once (TPM 2.0 Part 1, 19.8.3).
  const std::string max_tries = BigEndian(0, 4), recovery_time = BigEndian(86400, 4), lockout_recovery = recovery_time;
  return Command(kCcDictionaryAttackParameters, kLockout, max_tries + recovery_time + lockout_recovery);
}

bool Swtpm::TakeOwnership(std::string_view password) {
  return Command(kCcHierarchyChangeAuth, kOwner,
                 BigEndian(static_cast<uint32_t>(password.size()), 2) + std::string(password));
}

bool Swtpm::Command(uint32_t code, uint32_t handle, std::string_view parameters) const {
  constexpr uint32_t kTagWithSessions = 0x8002;
  // A session of password kind with an empty one: handle, nonce, attributes, password.
  const std::string session = BigEndian(kPassword, 4) + BigEndian(0, 2) + BigEndian(0, 1) + BigEndian(0, 2);
  std::string rest = BigEndian(code, 4) + BigEndian(handle, 4) + BigEndian(static_cast<uint32_t>(session.size()), 4) +
                     session + std::string(parameters);
  const std::string command =
      BigEndian(kTagWithSessions, 2) + BigEndian(static_cast<uint32_t>(2 + 4 + rest.size()), 4) + rest;
  const UniqueFd fd = Connect(socket_);
  if (::send(fd.get(), command.data(), command.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(command.size())) {
    return false;
  }
  char answer[10] = {};  // tag, size, code
  if (::recv(fd.get(), answer, sizeof answer, MSG_WAITALL) != sizeof answer) return false;
  return std::string_view(answer + 6, 4) == std::string_view("\0\0\0\0", 4);
}

}  // namespace holdfast
