#include "services/uplink/link_override.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "holdfast/uplink/v1/uplink.pb.h"
#include "lib/rpc/server.h"
#include "lib/testing/manual_clock.h"
#include "lib/testing/temp_dir.h"
#include "services/uplink/fake_key_value.h"

namespace holdfast::uplink {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr absl::Duration kForEver = absl::InfiniteDuration();

// The store's edge clock: the machine's time and what the test adds to it.
class FakeStoreStatus final : public store::v1::StoreStatus::Service {
 public:
  explicit FakeStoreStatus(const Clock& clock) : clock_(clock) {}
  void SetDown(bool down) { down_ = down; }
  grpc::Status GetStoreStatus(grpc::ServerContext*, const store::v1::GetStoreStatusRequest*,
                              store::v1::GetStoreStatusResponse* response) override {
    if (down_) return {grpc::StatusCode::UNAVAILABLE, "down"};
    response->mutable_edge_clock()->set_seconds(1'000'000 + absl::ToInt64Seconds(clock_.SinceBoot()));
    return grpc::Status::OK;
  }

 private:
  const Clock& clock_;
  std::atomic<bool> down_ = false;
};

class LinkOverrideTest : public ::testing::Test {
 protected:
  // One uplink's: what it was told.
  struct Uplink {
    explicit Uplink(LinkOverrideTest* test)
        : store(test->dir_.path(), "store"),
          metrics(*Metrics::Create("")),
          link(&store, test->clock_, metrics.get(), {}) {
      link.Start([this](const LinkOverride::State& state) {
        absl::MutexLock lock(&mutex);
        told.push_back(state.mode);
      });
    }
    bool WaitTold(const std::vector<LinkMode>& expected) {
      absl::MutexLock lock(&mutex);
      const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex) { return told == expected; };
      return mutex.AwaitWithTimeout(absl::Condition(&there), kPatience);
    }
    absl::Mutex mutex;
    std::vector<LinkMode> told ABSL_GUARDED_BY(mutex);
    rpc::Channels store;
    const std::unique_ptr<Metrics> metrics;
    LinkOverride link;
  };
  bool WaitGone() {
    return kv_.WaitFor(
        kOverrideKey, [](const auto& value) { return !value.has_value(); }, kPatience);
  }

  TempDir dir_;
  ManualClock clock_;
  FakeKeyValue kv_;
  FakeStoreStatus status_{clock_};
  std::unique_ptr<rpc::Server> server_ =
      *rpc::Server::Create({.run_dir = dir_.path(), .service = "store"}, {&kv_, &status_});
};

constexpr LinkMode kAuto = LinkMode::kAuto;
constexpr LinkMode kOffline = LinkMode::kOffline;
constexpr LinkMode kOnline = LinkMode::kOnline;

TEST_F(LinkOverrideTest, IsInForceWhenItIsSetAndSoAtEveryUplink) {
  Uplink one(this);
  Uplink other(this);
  ASSERT_TRUE(one.WaitTold({kAuto}));
  ASSERT_TRUE(other.WaitTold({kAuto}));
  const auto set = one.link.Set(kOffline, absl::Hours(1));
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->ends_at, clock_.SinceBoot() + absl::Hours(1));
  EXPECT_EQ(one.link.state()->mode, kOffline);
  EXPECT_TRUE(other.WaitTold({kAuto, kOffline}));
  ASSERT_TRUE(other.link.Set(kOnline, kForEver).ok());
  EXPECT_TRUE(one.WaitTold({kAuto, kOffline, kOnline}));
  ASSERT_TRUE(one.link.Set(kAuto, kForEver).ok());
  EXPECT_TRUE(one.WaitTold({kAuto, kOffline, kOnline, kAuto}));
  EXPECT_EQ(kv_.value(kOverrideKey), std::nullopt);
  EXPECT_TRUE(one.link.Set(kAuto, kForEver).ok()) << "what is not there can be ended too";
}

// P7: a wall clock that jumps does not end it, time does.
TEST_F(LinkOverrideTest, EndsWhenItsTimeHasPassed) {
  Uplink uplink(this);
  ASSERT_TRUE(uplink.WaitTold({kAuto}));
  ASSERT_TRUE(uplink.link.Set(kOffline, absl::Hours(1)).ok());
  clock_.SetWall(clock_.WallNow() + absl::Hours(24 * 365));
  clock_.Advance(absl::Minutes(59));
  EXPECT_EQ(uplink.link.state()->mode, kOffline);
  clock_.Advance(absl::Minutes(2));
  EXPECT_TRUE(uplink.WaitTold({kAuto, kOffline, kAuto}));
  EXPECT_TRUE(WaitGone());
}

TEST_F(LinkOverrideTest, OutlivesTheProcessAndLastsNoLongerForThat) {
  {
    Uplink uplink(this);
    ASSERT_TRUE(uplink.link.Set(kOffline, absl::Hours(1)).ok());
  }
  clock_.Advance(absl::Minutes(40));
  {
    Uplink again(this);
    ASSERT_TRUE(again.WaitTold({kOffline})) << "before it is told of anything else";
    EXPECT_EQ(again.link.state()->ends_at, clock_.SinceBoot() + absl::Minutes(20));
  }
  clock_.Advance(absl::Minutes(21));
  Uplink late(this);
  EXPECT_TRUE(late.WaitTold({kAuto})) << "over before anybody was there to end it";
  EXPECT_TRUE(WaitGone());
}

TEST_F(LinkOverrideTest, EndsInTimeThoughTheStoreIsAway) {
  Uplink uplink(this);
  ASSERT_TRUE(uplink.WaitTold({kAuto}));
  ASSERT_TRUE(uplink.link.Set(kOffline, absl::Hours(1)).ok());
  kv_.SetDown(true);
  status_.SetDown(true);
  clock_.Advance(absl::Minutes(61));
  EXPECT_TRUE(uplink.WaitTold({kAuto, kOffline, kAuto}));
  kv_.SetDown(false);
  status_.SetDown(false);
  EXPECT_TRUE(WaitGone());
  EXPECT_EQ(uplink.link.state()->mode, kAuto);
}

TEST_F(LinkOverrideTest, SetSaysWhenTheStoreIsAwayAndChangesNothing) {
  Uplink uplink(this);
  ASSERT_TRUE(uplink.WaitTold({kAuto}));
  kv_.SetDown(true);
  EXPECT_TRUE(absl::IsUnavailable(uplink.link.Set(kOffline, kForEver).status()));
  EXPECT_EQ(uplink.link.state()->mode, kAuto);
}

// A key that nobody can read must not keep the gateway from its hub.
TEST_F(LinkOverrideTest, UnreadableKeyIsNone) {
  for (const std::string& value : {std::string("\xff\xff\xff"), std::string("\x08\x07")}) {
    kv_.Set(kOverrideKey, value);
    Uplink uplink(this);
    EXPECT_TRUE(uplink.WaitTold({kAuto}));
  }
}

}  // namespace
}  // namespace holdfast::uplink
