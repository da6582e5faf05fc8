#include "services/auth/trusted_clock.h"

#include <gtest/gtest.h>

#include "lib/pki/certificate.h"
#include "lib/testing/manual_clock.h"

namespace holdfast::auth {
namespace {

class TrustedClockTest : public ::testing::Test {
 protected:
  const absl::Time day_ = absl::FromUnixSeconds(1'800'000'000);
  ManualClock clock_;
};

TEST_F(TrustedClockTest, SynchronizedWallIsBelievedEvenIfItGoesBack) {
  TrustedClock trusted(clock_);
  trusted.Restore({.synchronized = day_ + absl::Hours(1000), .plausible = day_ + absl::Hours(1000)});
  EXPECT_EQ(trusted.Now(), day_);
  EXPECT_TRUE(trusted.WallIsBelieved());
}

TEST_F(TrustedClockTest, UnsynchronizedWallIsUsedButNotBeforeTheLastSynchronizedTime) {
  clock_.SetSynchronized(false);
  TrustedClock trusted(clock_);
  EXPECT_EQ(trusted.Now(), day_);  // a virtual machine whose host keeps its clock right
  trusted.Restore({.synchronized = day_ + absl::Hours(1)});
  EXPECT_EQ(trusted.Now(), day_ + absl::Hours(1));
  EXPECT_FALSE(trusted.WallIsBelieved());
  clock_.Advance(absl::Minutes(10));
  EXPECT_EQ(trusted.Now(), day_ + absl::Hours(1) + absl::Minutes(10));
}

// P4
TEST_F(TrustedClockTest, In1970ItIsTheLastTimeThatWasKnown) {
  TrustedClock before(clock_);
  clock_.SetSynchronized(false);
  const TrustedClock::Marks marks = before.Observe();
  EXPECT_EQ(marks.plausible, day_);
  EXPECT_EQ(marks.synchronized, absl::InfinitePast());

  clock_.Reboot(absl::ZeroDuration());
  clock_.SetWall(absl::UnixEpoch());
  TrustedClock after(clock_);
  EXPECT_EQ(after.Now(), pki::Floor());  // nothing known yet
  after.Restore(marks);
  EXPECT_EQ(after.Now(), day_);
  EXPECT_FALSE(after.WallIsBelieved());
  clock_.Advance(absl::Hours(2));
  EXPECT_EQ(after.Now(), day_ + absl::Hours(2));
  EXPECT_EQ(after.Observe().plausible, day_ + absl::Hours(2));  // what passed in 1970 is kept too
}

TEST_F(TrustedClockTest, WrongDateThatSomebodySetDoesNotLockOutAfterItIsCorrected) {
  clock_.SetSynchronized(false);
  clock_.SetWall(day_ + absl::Hours(24 * 365 * 50));
  TrustedClock trusted(clock_);
  trusted.Observe();
  clock_.SetWall(day_);
  EXPECT_EQ(trusted.Now(), day_);
  EXPECT_EQ(trusted.Observe().plausible, day_);
}

}  // namespace
}  // namespace holdfast::auth
