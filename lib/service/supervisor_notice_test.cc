#include "lib/service/supervisor_notice.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "lib/base/unique_fd.h"
#include "lib/rpc/server.h"
#include "lib/testing/temp_dir.h"

namespace holdfast {
namespace {

// What systemd listens on.
class NotifySocket {
 public:
  explicit NotifySocket(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~NotifySocket() { ::unsetenv("NOTIFY_SOCKET"); }

  std::string Next() {
    char buffer[256];
    const ssize_t size = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    return size < 0 ? "" : std::string(buffer, static_cast<size_t>(size));
  }

 private:
  const UniqueFd fd_;
};

TEST(SupervisorNoticeTest, TellsReadyAndStopping) {
  const TempDir dir;
  NotifySocket systemd(dir / "notify");
  SupervisorNotice notice(dir / "none.sock");
  notice.Ready();
  EXPECT_EQ(systemd.Next(), "READY=1");
  notice.Stopping();
  EXPECT_EQ(systemd.Next(), "STOPPING=1");
}

TEST(SupervisorNoticeTest, LivesAsLongAsItsServerAnswers) {
  const TempDir dir;
  ::setenv("WATCHDOG_USEC", "300000", 1);
  {
    NotifySocket systemd(dir / "notify");
    const auto server = *rpc::Server::Create({.run_dir = dir / "run", .service = "store"}, {});
    SupervisorNotice notice(server->socket_path());
    EXPECT_EQ(systemd.Next(), "WATCHDOG=1");
    EXPECT_EQ(systemd.Next(), "WATCHDOG=1") << "health is NOT_SERVING, but it lives";
  }
  {
    NotifySocket systemd(dir / "notify2");
    SupervisorNotice notice(dir / "none.sock");
    notice.Ready();
    EXPECT_EQ(systemd.Next(), "READY=1") << "and nothing before it from one that nobody answers";
  }
  ::unsetenv("WATCHDOG_USEC");
}

TEST(SupervisorNoticeTest, WithoutSystemdItDoesNothing) {
  SupervisorNotice notice("none.sock");
  notice.Ready();
  notice.Stopping();
}

}  // namespace
}  // namespace holdfast
