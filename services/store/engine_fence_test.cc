// A leader that was paused can change nothing once another one leads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/store/engine_fixture.h"

namespace holdfast::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EngineFenceTest : public EngineFixture {
 protected:
  EngineFenceTest() {
    Open();
    EXPECT_TRUE(Append("q", {"a", "b", "c"}).ok());
    EXPECT_TRUE(Register("q", "c").ok());
  }
  uint64_t Grant() {
    return *Await<uint64_t>([&](Engine::Done<uint64_t> done) { engine_->GrantLease(5'000, std::move(done)); });
  }
  absl::Status Revoke(uint64_t lease) {
    return AwaitStatus([&](Engine::DoneStatus done) { engine_->RevokeLease(lease, std::move(done)); });
  }
  // 0 = somebody leads already.
  uint64_t TryToLead(uint64_t lease) { return Put("leader", "name", 0, lease).value_or(0); }
  absl::Status CommitAs(uint64_t number, uint64_t sequence) {
    WriteJob job;
    job.commits.push_back({"q", "c", {{.priority = kDefaultPriority, .sequence = sequence}}});
    job.fences.push_back({"leader", number});
    return Write(std::move(job)).status();
  }
  absl::StatusOr<uint64_t> AppendAs(uint64_t number, const std::string& text, bool wait = false) {
    AppendJob job = Job("q", {text});
    job.fence = Fence{"leader", number};
    return Await<uint64_t>(
        [&](Engine::Done<uint64_t> done) { engine_->Append(1, std::move(job), wait, std::move(done)); });
  }
};

TEST_F(EngineFenceTest, OnlyTheOneWhoLeadsMovesTheCheckpoint) {
  const uint64_t first_lease = Grant();
  const uint64_t first = TryToLead(first_lease);
  ASSERT_GT(first, 0u);
  const uint64_t second_lease = Grant();
  EXPECT_EQ(TryToLead(second_lease), 0u) << "one at a time";
  EXPECT_TRUE(CommitAs(first, 1).ok());
  EXPECT_TRUE(AppendAs(first, "d").ok());

  ASSERT_TRUE(Revoke(first_lease).ok());
  EXPECT_EQ(CommitAs(first, 2).code(), absl::StatusCode::kAborted) << "nobody leads";
  const uint64_t second = TryToLead(second_lease);
  EXPECT_GT(second, first);
  const absl::Status late = CommitAs(first, 2);
  EXPECT_EQ(late.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(late.message()), HasSubstr("displaced"));
  EXPECT_EQ(AppendAs(first, "late").status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(View("q").lag["c"], 3u) << "nothing of it took effect";
  EXPECT_TRUE(CommitAs(second, 2).ok());
  EXPECT_EQ(View("q").lag["c"], 2u);
  EXPECT_EQ(CommitAs(second + 1, 3).code(), absl::StatusCode::kAborted) << "a number that was never given";
}

// The lease ends while its holder is paused: a dead leader's standby needs nobody to tell it.
TEST_F(EngineFenceTest, LeaseThatRanOutEndsTheLead) {
  const uint64_t first = TryToLead(Grant());
  clock_.Advance(absl::Seconds(6));
  engine_->Poke();
  uint64_t second = 0;
  ASSERT_TRUE(Eventually([&] { return (second = TryToLead(0)) != 0; }));
  EXPECT_EQ(CommitAs(first, 1).code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(CommitAs(second, 1).ok());
}

TEST_F(EngineFenceTest, NumbersGoOnOverARestart) {
  const uint64_t lease = Grant();
  const uint64_t first = TryToLead(lease);
  Restart();
  EXPECT_TRUE(CommitAs(first, 1).ok()) << "the lease and the lead survive";
  ASSERT_TRUE(Revoke(lease).ok());
  EXPECT_GT(TryToLead(Grant()), first);
  EXPECT_EQ(CommitAs(first, 2).code(), absl::StatusCode::kAborted);
}

// The change of leader and the late request may be committed by one fsync.
TEST_F(EngineFenceTest, FenceSeesTheChangesBeforeItInTheSameGroup) {
  const uint64_t first = TryToLead(Grant());
  WriteJob take_over;
  take_over.puts.push_back({"leader", "other", std::nullopt, 0});
  WriteJob late;
  late.commits.push_back({"q", "c", {{.priority = kDefaultPriority, .sequence = 1}}});
  late.fences.push_back({"leader", first});
  absl::Status late_status;
  absl::Notification answered;
  engine_->Write(std::move(take_over), [](absl::StatusOr<WriteResult>) {});
  engine_->Write(std::move(late), [&](absl::StatusOr<WriteResult> result) {
    late_status = result.status();
    answered.Notify();
  });
  answered.WaitForNotification();
  EXPECT_EQ(late_status.code(), absl::StatusCode::kAborted);
}

// A part of a batch that fails the fence takes the whole batch with it.
TEST_F(EngineFenceTest, BatchOfAnOldLeaderLeavesNothing) {
  const uint64_t first = TryToLead(Grant());
  ASSERT_TRUE(Put("leader", "other").ok());
  WriteJob job;
  job.appends.push_back(Job("other", {"x"}));
  job.puts.push_back({"key", "value", std::nullopt, 0});
  job.fences.push_back({"leader", first});
  EXPECT_EQ(Write(std::move(job)).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Get("key").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(View("other").appended, 0u);
}

// What waited for space is judged when there is room, by who leads then.
TEST_F(EngineFenceTest, HeldAppendIsCheckedWhenItsTimeComes) {
  const uint64_t first = TryToLead(Grant());
  ASSERT_TRUE(Configure("q", std::nullopt, View("q").bytes, 0).ok());
  AppendJob job = Job("q", {"x"});
  job.fence = Fence{"leader", first};
  absl::Status status;
  absl::Notification answered;
  engine_->Append(1, std::move(job), /*wait=*/true, [&](absl::StatusOr<uint64_t> result) {
    status = result.status();
    answered.Notify();
  });
  ASSERT_TRUE(Eventually([&] { return View("q").waiting == 1; }));
  ASSERT_TRUE(Put("leader", "other").ok());
  ASSERT_TRUE(Commit("q", "c", 3).ok());
  answered.WaitForNotification();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(Drain("q", "c"), ElementsAre());
}

}  // namespace
}  // namespace holdfast::store
