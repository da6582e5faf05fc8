// P7: a gateway without a battery for its clock boots in 1970 and is told the right time later. The real binaries run
// with the clock that libfaketime gives them; time since boot stays the real one.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/system/rig.h"
#include "tests/system/scripted_hub.h"

namespace holdfast::systest {
namespace {

constexpr char kFakeTime[] = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

// A wall clock for processes to come, and for those that run.
class FakeWallClock {
 public:
  explicit FakeWallClock(std::string file) : file_(std::move(file)) { SetOffset(absl::ZeroDuration()); }

  void SetOffset(absl::Duration offset) {
    // Replaced in one step: the processes read it whenever they ask for the time.
    WriteFile(file_ + ".new", fmt::format("{:+d}\n", absl::ToInt64Seconds(offset)));
    std::filesystem::rename(file_ + ".new", file_);
  }
  void SetTo1970() { SetOffset(absl::FromUnixSeconds(300) - absl::Now()); }
  void SetToNow() { SetOffset(absl::ZeroDuration()); }

  std::map<std::string, std::map<std::string, std::string>> Environment() const {
    const std::map<std::string, std::string> variables = {{"LD_PRELOAD", kFakeTime},
                                                          {"FAKETIME_TIMESTAMP_FILE", file_},
                                                          {"FAKETIME_NO_CACHE", "1"},
                                                          {"FAKETIME_DONT_FAKE_MONOTONIC", "1"}};
    std::map<std::string, std::map<std::string, std::string>> result;
    for (const std::string_view service : Gateway::kServices) result[std::string(service)] = variables;
    return result;
  }

 private:
  const std::string file_;
};

class ClockTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kFakeTime)) GTEST_SKIP() << "NOT RUN: " << kFakeTime << " is missing (libfaketime)";
    hub_.SetReachable(false);
  }

  void ExpectNothingExpired(const Gateway& gateway, uint64_t stored) {
    const auto queue = gateway.UpstreamQueue();
    ASSERT_TRUE(queue.ok()) << queue.status();
    EXPECT_EQ(queue->dropped().expired(), 0u);
    ASSERT_EQ(queue->lanes_size(), 1);
    EXPECT_EQ(queue->lanes(0).records(), stored);
    EXPECT_LT(queue->lanes(0).oldest_age().seconds(), 3600) << "the jump was taken for time that passed";
  }

  TempDir dir_;
  FakeWallClock clock_{dir_ / "clock"};
  ScriptedHub hub_;
};

TEST_F(ClockTest, P7_AJumpFrom1970ToTodayExpiresNothing) {
  clock_.SetTo1970();
  Gateway gateway({.upstream = fmt::format("mqtt://127.0.0.1:{}", hub_.port()), .env = clock_.Environment()});
  ASSERT_TRUE(gateway.Start());
  ASSERT_NE(gateway.process("store").Log().find("1970-01-01"), std::string::npos) << "the clock is not the fake one";
  // Abseil's clock looks at the kernel's every two seconds: at this rate the second part takes twice as long.
  Fleet fleet(gateway, 1, 200, [](Publisher::Options* o) { o->rate = 200; });
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(200)) << "a gateway in 1970 must take messages";

  clock_.SetToNow();
  fleet.Allow(1'000);
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(1'000));
  ExpectNothingExpired(gateway, 1'000);
  hub_.SetReachable(true);
  ASSERT_TRUE(hub_.WaitForMessages(1'000, kPatience));
  ExpectDelivered(fleet, hub_.Arrivals(), 0);
}

// Power cuts on the way, to the right time, back to 1970 and to the right time again.
TEST_F(ClockTest, P7_ABootWithAnotherTimeExpiresNothing) {
  clock_.SetTo1970();
  Gateway gateway({.upstream = fmt::format("mqtt://127.0.0.1:{}", hub_.port()), .env = clock_.Environment()});
  ASSERT_TRUE(gateway.Start());
  Fleet fleet(gateway, 1, 300);
  ASSERT_TRUE(fleet.WaitUntilAcknowledged(300));
  uint64_t stored = 300;
  for (const bool to_1970 : {false, true, false}) {
    gateway.KillAll();
    to_1970 ? clock_.SetTo1970() : clock_.SetToNow();
    ASSERT_TRUE(gateway.Start());
    stored += 300;
    fleet.Allow(stored);
    ASSERT_TRUE(fleet.WaitUntilAcknowledged(stored)) << "a device that was known must be let in, whatever the clock";
    ExpectNothingExpired(gateway, stored);
  }
  hub_.SetReachable(true);
  ASSERT_TRUE(hub_.WaitForMessages(stored, kPatience));
  EXPECT_EQ(gateway.UpstreamQueue()->dropped().expired(), 0u);
  ExpectDelivered(fleet, hub_.Arrivals(), fleet.resent());
}

}  // namespace
}  // namespace holdfast::systest
