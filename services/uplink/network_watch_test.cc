// The kernel's own events, in a network of the test's own.
#include "services/uplink/network_watch.h"

#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <thread>

#include "lib/base/unique_fd.h"

namespace holdfast::uplink {
namespace {

// Brings this network's loopback up or down.
bool SetLoopback(bool up) {
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  ::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  if (::ioctl(fd.get(), SIOCGIFFLAGS, &request) != 0) return false;
  request.ifr_flags = static_cast<short>(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
  return ::ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0;
}

// In a thread of its own, which alone enters the new network.
TEST(NetworkWatchTest, ALinkThatComesUpIsToldAndOneThatGoesDownIsNot) {
  bool may_run = true;
  int told_down = 0;
  int told_up = 0;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) != 0) {
      may_run = false;
      return;
    }
    EXPECT_TRUE(SetLoopback(true));
    boost::asio::io_context io(1);
    int told = 0;
    NetworkWatch watch(io, [&] {
      ++told;
      io.stop();
    });
    EXPECT_TRUE(SetLoopback(false));
    io.poll();  // the kernel queues its events before the call above returns
    told_down = told;
    io.restart();
    EXPECT_TRUE(SetLoopback(true));
    io.run_for(std::chrono::seconds(20));
    told_up = told - told_down;
  }).join();
  if (!may_run) GTEST_SKIP() << "NOT RUN: only root may make a network of its own";
  EXPECT_EQ(told_down, 0);
  EXPECT_GE(told_up, 1);
}

}  // namespace
}  // namespace holdfast::uplink
