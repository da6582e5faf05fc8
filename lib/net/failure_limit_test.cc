#include "lib/net/failure_limit.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace holdfast {
namespace {

using boost::asio::ip::make_address;

constexpr absl::Duration kNow = absl::Seconds(1000);
const auto kPeer = make_address("192.0.2.7");

TEST(FailureLimitTest, AnAddressThatFailedTooOftenIsNotAllowedUntilTimeHasPassed) {
  FailureLimit limit(/*burst=*/3, /*per_second=*/10);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(limit.Allows(kPeer, kNow));
    limit.Failed(kPeer, kNow);
  }
  EXPECT_FALSE(limit.Allows(kPeer, kNow));
  EXPECT_TRUE(limit.Allows(make_address("192.0.2.8"), kNow)) << "another one";
  EXPECT_FALSE(limit.Allows(kPeer, kNow + absl::Milliseconds(99)));
  EXPECT_TRUE(limit.Allows(kPeer, kNow + absl::Milliseconds(101)));
  limit.Failed(kPeer, kNow + absl::Milliseconds(101));
  EXPECT_FALSE(limit.Allows(kPeer, kNow + absl::Milliseconds(102)));
  // Never more than the burst.
  for (int i = 0; i < 3; ++i) limit.Failed(kPeer, kNow + absl::Hours(1));
  EXPECT_FALSE(limit.Allows(kPeer, kNow + absl::Hours(1)));
}

TEST(FailureLimitTest, AnIpv6NetworkIsOneAddressAndAMappedIpv4IsItself) {
  FailureLimit limit(1, 1);
  limit.Failed(make_address("2001:db8:1:2:3::4"), kNow);
  EXPECT_FALSE(limit.Allows(make_address("2001:db8:1:2:ffff::1"), kNow));
  EXPECT_TRUE(limit.Allows(make_address("2001:db8:1:3::4"), kNow));
  limit.Failed(make_address("::ffff:192.0.2.7"), kNow);
  EXPECT_FALSE(limit.Allows(kPeer, kNow));
  EXPECT_TRUE(limit.Allows(make_address("192.0.2.8"), kNow));
}

// P12: those who failed least make room.
TEST(FailureLimitTest, AddressesAreRememberedUpToALimit) {
  FailureLimit limit(2, 1);
  limit.Failed(kPeer, kNow);
  limit.Failed(kPeer, kNow);
  for (size_t i = 0; i < kFailureAddressesMax + 10; ++i) {
    limit.Failed(make_address(fmt::format("10.{}.{}.1", i / 256, i % 256)), kNow);
  }
  EXPECT_FALSE(limit.Allows(kPeer, kNow));
}

}  // namespace
}  // namespace holdfast
