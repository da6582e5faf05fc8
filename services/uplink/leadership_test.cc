#include "services/uplink/leadership.h"

#include <gtest/gtest.h>

#include "lib/rpc/server.h"
#include "lib/testing/temp_dir.h"
#include "services/uplink/fake_key_value.h"

namespace holdfast::uplink {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

// One uplink's part in it.
class Candidate {
 public:
  Candidate(const std::string& run_dir, const std::string& instance)
      : store_(run_dir, "store"), leadership_(&store_, instance, {.lease = absl::Seconds(1)}) {
    leadership_.Start(
        {.on_lead = [this] { Set(&leads_, true); }, .on_lost = [this](const std::string&) { Set(&lost_, true); }});
  }
  bool WaitForLead() { return Wait(&leads_); }
  bool WaitForLoss() { return Wait(&lost_); }
  bool WaitForLeader(const std::string& leader) {
    const absl::Time deadline = absl::Now() + kPatience;
    while (leadership_.status().leader != leader && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(2));
    return leadership_.status().leader == leader;
  }
  uint64_t fence() const {
    store::v1::Fence fence;
    leadership_.SetFence(&fence);
    return fence.revision();
  }
  Leadership& operator*() { return leadership_; }

 private:
  void Set(bool* what, bool value) {
    absl::MutexLock lock(&mutex_);
    *what = value;
  }
  bool Wait(const bool* what) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(what), kPatience);
  }

  absl::Mutex mutex_;
  bool leads_ = false;
  bool lost_ = false;
  rpc::Channels store_;
  Leadership leadership_;
};

class LeadershipTest : public ::testing::Test {
 protected:
  TempDir dir_;
  FakeKeyValue kv_;
  std::unique_ptr<rpc::Server> server_ = *rpc::Server::Create({.run_dir = dir_.path(), .service = "store"}, {&kv_});
};

TEST_F(LeadershipTest, OneLeadsAndTheOtherTakesOverWhenItStops) {
  auto first = std::make_unique<Candidate>(dir_.path(), "a");
  ASSERT_TRUE(first->WaitForLead());
  const uint64_t fence = first->fence();
  Candidate second(dir_.path(), "b");
  ASSERT_TRUE(second.WaitForLeader("a"));
  EXPECT_FALSE((*second).status().leads);
  first.reset();
  ASSERT_TRUE(second.WaitForLead());
  EXPECT_EQ((*second).status().leader, "b");
  EXPECT_GT(second.fence(), fence);
}

TEST_F(LeadershipTest, LeaderWhoseLeaseEndedIsToldAndLeadsNoMore) {
  Candidate first(dir_.path(), "a");
  ASSERT_TRUE(first.WaitForLead());
  Candidate second(dir_.path(), "b");
  ASSERT_TRUE(second.WaitForLeader("a"));
  kv_.EndLeases();
  EXPECT_TRUE(second.WaitForLead());
  EXPECT_TRUE(first.WaitForLoss());
}

// Its socket is locked: a key of its own name can only be of a process that is dead.
TEST_F(LeadershipTest, KeyOfAFormerLifeIsTakenOverAtOnce) {
  kv_.Set(kLeaderKey, "a");
  Candidate again(dir_.path(), "a");
  EXPECT_TRUE(again.WaitForLead());
}

TEST_F(LeadershipTest, StoreThatIsAwayIsWaitedFor) {
  kv_.SetDown(true);
  Candidate candidate(dir_.path(), "a");
  kv_.SetDown(false);
  EXPECT_TRUE(candidate.WaitForLead());
}

}  // namespace
}  // namespace holdfast::uplink
