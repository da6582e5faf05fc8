#include "services/auth/failure_limits.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace holdfast::auth {
namespace {

constexpr char kHere[] = "192.0.2.7:50412";
constexpr char kThere[] = "192.0.2.8:50412";

class FailureLimitsTest : public ::testing::Test {
 protected:
  void Fail(int count, const std::string& id, const std::string& peer) {
    for (int i = 0; i < count; ++i) limits_.Failed(id, peer, now_);
  }
  bool IsBlocked(const std::string& id, const std::string& peer) { return limits_.IsBlocked(id, peer, now_); }

  absl::Duration now_ = absl::Seconds(1000);
  FailureLimits limits_{{.per_client_max = 3, .per_address_max = 10, .per_identity_max = 6}};
};

TEST_F(FailureLimitsTest, ClientThatKeepsFailingIsNotLookedAtForABoundedTime) {
  Fail(2, "dev1", kHere);
  EXPECT_FALSE(IsBlocked("dev1", kHere));
  Fail(1, "dev1", kHere);
  EXPECT_TRUE(IsBlocked("dev1", kHere));
  EXPECT_TRUE(IsBlocked("dev1", "192.0.2.7:1")) << "another port is the same address";
  EXPECT_FALSE(IsBlocked("dev2", kHere));
  now_ += absl::Seconds(59);
  EXPECT_TRUE(IsBlocked("dev1", kHere));
  now_ += absl::Seconds(1);
  EXPECT_FALSE(IsBlocked("dev1", kHere));
  Fail(2, "dev1", kHere);
  EXPECT_FALSE(IsBlocked("dev1", kHere)) << "the count begins anew";
}

TEST_F(FailureLimitsTest, SlowFailuresAreNoFlood) {
  for (int i = 0; i < 50; ++i, now_ += absl::Seconds(40)) {
    Fail(1, "dev1", kHere);
    EXPECT_FALSE(IsBlocked("dev1", kHere));
  }
}

TEST_F(FailureLimitsTest, NobodyElsesFailuresLockAClientOut) {
  for (int i = 0; i < 30; ++i) Fail(1, "dev1", fmt::format("198.51.100.{}:7", i));
  EXPECT_FALSE(IsBlocked("dev1", kHere)) << "though dev1 is under attack from everywhere";
  Fail(1, "dev1", kThere);
  EXPECT_TRUE(IsBlocked("dev1", kThere)) << "an address that joins in has one attempt";
  EXPECT_FALSE(IsBlocked("dev1", kHere));
}

TEST_F(FailureLimitsTest, AddressThatTriesManyNamesIsBlockedButForThoseItWasLetInAs) {
  limits_.Succeeded("good", kHere, now_);
  for (int i = 0; i < 10; ++i) Fail(1, fmt::format("guess{}", i), kHere);
  EXPECT_TRUE(IsBlocked("another", kHere));
  EXPECT_FALSE(IsBlocked("good", kHere)) << "many devices may share an address";
  EXPECT_FALSE(IsBlocked("another", kThere));
  Fail(3, "good", kHere);
  EXPECT_TRUE(IsBlocked("good", kHere));
}

TEST_F(FailureLimitsTest, SuccessForgetsItsOwnFailures) {
  for (int i = 0; i < 20; ++i) {
    Fail(2, "dev1", kHere);
    limits_.Succeeded("dev1", kHere, now_);
    EXPECT_FALSE(IsBlocked("dev1", kHere)) << i;
  }
}

// P12
TEST_F(FailureLimitsTest, TableIsBounded) {
  for (int i = 0; i < 100'000; ++i) Fail(1, fmt::format("guess{}", i), fmt::format("10.0.{}.{}:1", i % 250, i % 199));
  EXPECT_LE(limits_.size(), FailureLimits::kEntriesMax);
}

TEST_F(FailureLimitsTest, AddressesAreTakenFromPeers) {
  EXPECT_EQ(AddressOf("192.0.2.7:50412"), "192.0.2.7");
  EXPECT_EQ(AddressOf("[2001:db8:1:2:3:4:5:6]:50412"), "2001:db8:1:2::/64");
  EXPECT_EQ(AddressOf("[::ffff:192.0.2.7]:1"), "192.0.2.7");
  EXPECT_EQ(AddressOf(""), "");
  Fail(100, "dev1", "");
  EXPECT_FALSE(IsBlocked("dev1", ""));
}

}  // namespace
}  // namespace holdfast::auth
