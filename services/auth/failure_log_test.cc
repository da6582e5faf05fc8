#include "services/auth/failure_log.h"

#include <gtest/gtest.h>

namespace holdfast::auth {
namespace {

// P12
TEST(FailureLogTest, FloodIsCutAndCounted) {
  FailureLog log;
  absl::Duration now = absl::Seconds(1000);
  int logged = 0;
  for (int i = 0; i < 1000; ++i) logged += log.Admit(now).has_value();
  EXPECT_EQ(logged, static_cast<int>(FailureLog::kBurst));
  now += absl::Seconds(1);
  EXPECT_EQ(log.Admit(now), 1000u - static_cast<unsigned>(FailureLog::kBurst));
  EXPECT_EQ(log.Admit(now), 0u);
}

}  // namespace
}  // namespace holdfast::auth
