#include "services/store/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/store/engine_fixture.h"

namespace holdfast::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class EngineTest : public EngineFixture {
 protected:
  EngineTest() { Open(); }
};

TEST_F(EngineTest, RecordsComeBackInOrderWithTheirSequences) {
  EXPECT_EQ(*Append("q", {"a", "b"}), 1u);
  EXPECT_EQ(*Append("q", {"c"}), 3u);
  EXPECT_THAT(Drain("q", "c"), ElementsAre(Received{kDefaultPriority, 1, "a"}, Received{kDefaultPriority, 2, "b"},
                                           Received{kDefaultPriority, 3, "c"}));
}

TEST_F(EngineTest, P2_ImportantLanesComeFirstEachInOrder) {
  ASSERT_TRUE(Append("q", {"d1"}).ok());
  ASSERT_TRUE(Append("q", {"p5"}, 5).ok());
  ASSERT_TRUE(Append("q", {"p0"}, 0).ok());
  ASSERT_TRUE(Append("q", {"d2"}).ok());
  ASSERT_TRUE(Append("q", {"p0b"}, 0).ok());
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("p0", "p0b", "p5", "d1", "d2"));
  Restart();
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("p0", "p0b", "p5", "d1", "d2"));
}

TEST_F(EngineTest, CheckpointInTheMiddleOfABlockSkipsWhatWasPassed) {
  ASSERT_TRUE(Append("q", {"a", "b", "c"}).ok());
  ASSERT_TRUE(Register("q", "c").ok());
  ASSERT_TRUE(Commit("q", "c", 2).ok());
  EXPECT_EQ(View("q").records, 1u);
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("c"));
  Restart();
  EXPECT_EQ(View("q").records, 1u);
  EXPECT_THAT(Drain("q", "c"), ElementsAre(Received{kDefaultPriority, 3, "c"}));
}

TEST_F(EngineTest, P3_EmptiedQueueKeepsItsNumberingOverARestart) {
  ASSERT_TRUE(Append("q", {"a", "b"}).ok());
  ASSERT_TRUE(Register("q", "c").ok());
  ASSERT_TRUE(Commit("q", "c", 2).ok());
  EXPECT_EQ(View("q").records, 0u);
  EXPECT_EQ(View("q").bytes, 0u);
  Restart();
  EXPECT_EQ(View("q").next_sequence, 3u);
  EXPECT_EQ(*Append("q", {"c"}), 3u);
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("c"));
}

TEST_F(EngineTest, RecordsStayUntilTheSlowestConsumerPassedThem) {
  ASSERT_TRUE(Append("q", {"a"}).ok());
  ASSERT_TRUE(Append("q", {"b"}).ok());
  ASSERT_TRUE(Register("q", "fast").ok());
  ASSERT_TRUE(Register("q", "slow").ok());
  ASSERT_TRUE(Commit("q", "fast", 2).ok());
  EXPECT_EQ(View("q").records, 2u);
  EXPECT_EQ(View("q").lag["fast"], 0u);
  EXPECT_EQ(View("q").lag["slow"], 2u);
  EXPECT_THAT(Texts(Drain("q", "slow")), ElementsAre("a", "b"));
  ASSERT_TRUE(Commit("q", "slow", 1).ok());
  EXPECT_EQ(View("q").records, 1u);
  ASSERT_TRUE(
      AwaitStatus([&](Engine::DoneStatus done) { engine_->DeleteConsumer("q", "slow", std::move(done)); }).ok());
  EXPECT_EQ(View("q").records, 0u);
}

TEST_F(EngineTest, CommitOnlyGoesForwardAndNeverPastTheEnd) {
  ASSERT_TRUE(Append("q", {"a", "b"}).ok());
  ASSERT_TRUE(Register("q", "c").ok());
  ASSERT_TRUE(Commit("q", "c", 2).ok());
  EXPECT_TRUE(Commit("q", "c", 1).ok());
  EXPECT_EQ(Commit("q", "c", 3).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Commit("q", "nobody", 1).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Commit("none", "c", 1).code(), absl::StatusCode::kNotFound);
}

TEST_F(EngineTest, FollowerGetsWhatIsAppendedLaterWithoutTouchingTheDisk) {
  auto start = Register("q", "c");
  ASSERT_TRUE(start.ok());
  PullCursor cursor(engine_->database(), engine_->encryption(), engine_->tail(), engine_->clock(), start->feed,
                    start->checkpoints);
  EXPECT_THAT(Continue(cursor, start->feed->queue_id()), IsEmpty());
  ASSERT_TRUE(Append("q", {"a"}).ok());
  EXPECT_THAT(Texts(Continue(cursor, start->feed->queue_id())), ElementsAre("a"));
  EXPECT_GT(engine_->tail().bytes(), 0u);
  ASSERT_TRUE(Commit("q", "c", 1).ok());
  EXPECT_EQ(engine_->tail().bytes(), 0u) << "what everybody has passed is not kept";
}

TEST_F(EngineTest, BacklogLargerThanTheTailCacheIsReadFromDisk) {
  options_.tail_cache_bytes = 10'000;
  Restart();
  std::vector<std::string> sent;
  for (int i = 0; i < 200; ++i) {
    sent.push_back("record " + std::to_string(i) + std::string(500, 'x'));
    ASSERT_TRUE(Append("q", {sent.back()}).ok());
  }
  EXPECT_LE(engine_->tail().bytes(), 10'000u);
  EXPECT_EQ(Texts(Drain("q", "c")), sent);
  ASSERT_TRUE(Commit("q", "c", 150).ok());
  EXPECT_EQ(Texts(Drain("q", "c")), std::vector<std::string>(sent.begin() + 150, sent.end()));
}

TEST_F(EngineTest, P7_TimeToLiveCountsElapsedTimeAndNotTheWallClock) {
  clock_.SetSynchronized(false);
  clock_.SetWall(absl::FromUnixSeconds(0));
  Restart();
  ASSERT_TRUE(Append("q", {"a"}).ok());
  clock_.SetWall(absl::FromUnixSeconds(1'790'000'000));
  clock_.SetSynchronized(true);
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("a"));
  Restart();
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("a"));
  clock_.Advance(absl::Seconds(7199));
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("a"));
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Drain("q", "c"), IsEmpty());
  EXPECT_EQ(View("q").expired, 1u);
}

// P7
TEST_F(EngineTest, TimeToLiveIsTheOneInForceWhenRead) {
  ASSERT_TRUE(Append("q", {"queue's"}).ok());
  ASSERT_TRUE(Append("q", {"own"}, kDefaultPriority, 100).ok());
  ASSERT_TRUE(Append("q", {"never"}, kDefaultPriority, -1).ok());
  ASSERT_TRUE(Configure("q", std::nullopt, 0, 1000).ok());
  clock_.Advance(absl::Seconds(101));
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("queue's", "never"));
  ASSERT_TRUE(Configure("q", std::nullopt, 0, 50).ok());
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("never"));
  EXPECT_TRUE(Eventually([&] { return View("q").records == 1; }));
  EXPECT_EQ(View("q").expired, 2u);
}

TEST_F(EngineTest, SweeperRemovesExpiredRecordsThatNobodyReads) {
  for (int i = 0; i < 1000; ++i) engine_->Append(1, Job("q", {"x"}), false, [](absl::StatusOr<uint64_t>) {});
  ASSERT_EQ(View("q").records, 1000u);
  clock_.Advance(absl::Hours(3));
  EXPECT_TRUE(Eventually([&] { return View("q").records == 0; }));
  EXPECT_EQ(View("q").expired, 1000u);
  EXPECT_EQ(View("q").bytes, 0u);
}

TEST_F(EngineTest, P8_FullQueueRefusesAndTakesMoreAfterACommit) {
  ASSERT_TRUE(Configure("q", FullPolicy::kReject, 100, 0).ok());
  ASSERT_TRUE(Append("q", {std::string(59, 'a')}).ok());
  const auto refused = Append("q", {std::string(59, 'b')});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("queue q is full"));
  ASSERT_TRUE(Register("q", "c").ok());
  ASSERT_TRUE(Commit("q", "c", 1).ok());
  EXPECT_TRUE(Append("q", {std::string(59, 'b')}).ok());
}

TEST_F(EngineTest, P8_DropOldestMakesRoomInTheLeastImportantLaneAndCountsIt) {
  ASSERT_TRUE(Configure("q", FullPolicy::kDropOldest, 30, 0).ok());
  ASSERT_TRUE(Append("q", {"important"}, 0).ok());  // 10 bytes with its prefix
  ASSERT_TRUE(Append("q", {"telemet-1"}).ok());
  ASSERT_TRUE(Append("q", {"telemet-2"}).ok());
  ASSERT_TRUE(Append("q", {"telemet-3"}).ok());
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("important", "telemet-2", "telemet-3"));
  EXPECT_EQ(View("q").full, 1u);
  EXPECT_EQ(View("q").bytes, 30u);
  EXPECT_EQ(Append("q", {std::string(40, 'x')}).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(EngineTest, P8_HeldAppendsWaitInOrderAndOtherQueuesGoOn) {
  ASSERT_TRUE(Configure("q", FullPolicy::kReject, 30, 0).ok());
  ASSERT_TRUE(Append("q", {std::string(24, 'a')}).ok());
  absl::Mutex mutex;
  std::vector<uint64_t> answers;
  const auto note = [&](absl::StatusOr<uint64_t> first) {
    absl::MutexLock lock(&mutex);
    answers.push_back(first.value_or(0));
  };
  engine_->Append(7, Job("q", {std::string(20, 'b')}), /*wait=*/true, note);
  engine_->Append(7, Job("q", {"c"}), /*wait=*/true, note);  // would fit, but is behind
  engine_->Append(7, Job("other", {"d"}), /*wait=*/true,
                  [](absl::StatusOr<uint64_t> first) { EXPECT_TRUE(first.ok()); });
  EXPECT_EQ(View("q").waiting, 2u);
  EXPECT_EQ(View("other").records, 1u);
  ASSERT_TRUE(Register("q", "c").ok());
  ASSERT_TRUE(Commit("q", "c", 1).ok());
  EXPECT_TRUE(Eventually([&] {
    absl::MutexLock lock(&mutex);
    return answers.size() == 2;
  }));
  EXPECT_THAT(answers, ElementsAre(2u, 3u));
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre(std::string(20, 'b'), "c"));
}

TEST_F(EngineTest, P8_DiskBelowItsFloorHoldsAppendsAndKeepsServingTheRest) {
  std::atomic<uint64_t> free_bytes = uint64_t{1} << 40;
  options_.free_bytes = [&] { return free_bytes.load(); };
  Restart();
  ASSERT_TRUE(Append("q", {"a"}).ok());
  free_bytes = 1000;
  ASSERT_TRUE(Eventually([&] { return engine_->status().state == State::kFull; }));
  EXPECT_EQ(Append("q", {"b"}).status().code(), absl::StatusCode::kResourceExhausted);
  std::atomic<bool> answered = false;
  engine_->Append(7, Job("q", {"c"}), true, [&](absl::StatusOr<uint64_t> first) { answered = first.ok(); });
  EXPECT_TRUE(Put("k", "v").ok());
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("a"));
  EXPECT_TRUE(Commit("q", "c", 1).ok());
  EXPECT_FALSE(answered);
  free_bytes = uint64_t{1} << 40;
  EXPECT_TRUE(Eventually([&] { return answered.load(); }));
  EXPECT_EQ(engine_->status().state, State::kServing);
}

TEST_F(EngineTest, HeldAppendsOfAStreamThatIsGoneAreForgotten) {
  ASSERT_TRUE(Configure("q", FullPolicy::kReject, 30, 0).ok());
  ASSERT_TRUE(Append("q", {std::string(24, 'a')}).ok());
  absl::Status answer;
  engine_->Append(7, Job("q", {std::string(20, 'b')}), true, [&](absl::StatusOr<uint64_t> r) { answer = r.status(); });
  engine_->ForgetStream(7);
  EXPECT_EQ(View("q").waiting, 0u);
  EXPECT_EQ(answer.code(), absl::StatusCode::kCancelled);
}

TEST_F(EngineTest, PurgeRemovesAndCountsAndTheNumberingGoesOn) {
  ASSERT_TRUE(Append("q", {"a", "b"}).ok());
  ASSERT_TRUE(Append("q", {"c"}, 3).ok());
  const auto removed = Await<uint64_t>([&](Engine::Done<uint64_t> done) { engine_->Purge("q", 3, std::move(done)); });
  EXPECT_EQ(*removed, 1u);
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("a", "b"));
  EXPECT_EQ(*Await<uint64_t>([&](Engine::Done<uint64_t> done) { engine_->Purge("q", {}, std::move(done)); }), 2u);
  Restart();
  EXPECT_EQ(View("q").records, 0u);
  EXPECT_EQ(View("q").by_operator, 3u);
  EXPECT_EQ(*Append("q", {"d"}), 4u);
}

TEST_F(EngineTest, DeletedQueueComesBackAsAnotherOne) {
  ASSERT_TRUE(Append("q", {"a"}).ok());
  const std::string incarnation = View("q").incarnation;
  EXPECT_EQ(incarnation.size(), 16u);
  ASSERT_TRUE(AwaitStatus([&](Engine::DoneStatus done) { engine_->DeleteQueue("q", std::move(done)); }).ok());
  EXPECT_EQ(AwaitStatus([&](Engine::DoneStatus done) { engine_->DeleteQueue("q", std::move(done)); }).code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(*Append("q", {"b"}), 1u);
  EXPECT_NE(View("q").incarnation, incarnation);
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("b"));
}

TEST_F(EngineTest, NewPullOfAConsumerEndsTheOlder) {
  class Ended final : public Follower {
   public:
    void Wake() override {}
    void End(const absl::Status& status) override { status_ = status; }
    absl::Status status_;
  };
  auto start = Register("q", "c");
  const auto first = std::make_shared<Ended>();
  const auto second = std::make_shared<Ended>();
  start->feed->Attach("c", first);
  start->feed->Attach("c", second);
  EXPECT_EQ(first->status_.code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(second->status_.ok());
  EXPECT_TRUE(start->feed->IsConnected("c"));
}

TEST_F(EngineTest, DataDirectoryOfARunningStoreIsRefusedInOneLine) {
  const auto second = Engine::Create(options_, metrics_.get());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(options_.data_dir));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use by another store"));
}

TEST_F(EngineTest, CompareAndSetHoldsAgainstTheGroupThatIsBeingBuilt) {
  const auto revision = Put("k", "1", 0);
  ASSERT_TRUE(revision.ok());
  EXPECT_EQ(Put("k", "2", 0).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(*Put("k", "2", *revision), *revision + 1);
  EXPECT_EQ(*Get("k"), "2");
  std::atomic<int> won = 0;
  std::atomic<int> answered = 0;
  for (int i = 0; i < 20; ++i) {
    WriteJob job;
    job.puts.push_back({"race", std::to_string(i), 0, 0});
    engine_->Write(std::move(job), [&](absl::StatusOr<WriteResult> r) {
      won += r.ok();
      ++answered;
    });
  }
  EXPECT_TRUE(Eventually([&] { return answered == 20; }));
  EXPECT_EQ(won, 1);
}

TEST_F(EngineTest, WriteIsAllOrNothing) {
  ASSERT_TRUE(Put("k", "1").ok());
  WriteJob job;
  job.appends.push_back(Job("q", {"a"}));
  job.puts.push_back({"other", "x", std::nullopt, 0});
  job.puts.push_back({"k", "2", 99, 0});
  EXPECT_EQ(Write(std::move(job)).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(View("q").appended, 0u);
  EXPECT_EQ(Get("other").status().code(), absl::StatusCode::kNotFound);
  WriteJob good;
  good.appends.push_back(Job("q", {"a"}));
  good.puts.push_back({"k", "2", std::nullopt, 0});
  good.deletes.push_back({"k", std::nullopt});
  const auto result = Write(std::move(good));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->first_sequences, ElementsAre(1u));
  EXPECT_TRUE(result->deleted);
  EXPECT_EQ(Get("k").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(EngineTest, LeaseThatIsNotKeptTakesItsKeysWithIt) {
  const auto lease =
      Await<uint64_t>([&](Engine::Done<uint64_t> done) { engine_->GrantLease(10'000, std::move(done)); });
  ASSERT_TRUE(lease.ok());
  ASSERT_TRUE(Put("leader", "me", 0, *lease).ok());
  clock_.Advance(absl::Seconds(9));
  EXPECT_EQ(*Await<uint64_t>([&](Engine::Done<uint64_t> d) { engine_->KeepLease(*lease, std::move(d)); }), 10'000u);
  clock_.Advance(absl::Seconds(9));
  Restart();  // A full time again.
  clock_.Advance(absl::Seconds(9));
  EXPECT_EQ(*Get("leader"), "me");
  clock_.Advance(absl::Seconds(2));
  EXPECT_TRUE(Eventually([&] { return absl::IsNotFound(Get("leader").status()); }));
  EXPECT_EQ(
      Await<uint64_t>([&](Engine::Done<uint64_t> d) { engine_->KeepLease(*lease, std::move(d)); }).status().code(),
      absl::StatusCode::kNotFound);
  EXPECT_EQ(Put("leader", "me", std::nullopt, *lease).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(EngineTest, RevokedLeaseAndReplacedKey) {
  const auto lease = Await<uint64_t>([&](Engine::Done<uint64_t> d) { engine_->GrantLease(10'000, std::move(d)); });
  ASSERT_TRUE(Put("bound", "1", {}, *lease).ok());
  ASSERT_TRUE(Put("freed", "1", {}, *lease).ok());
  ASSERT_TRUE(Put("freed", "2").ok());
  EXPECT_TRUE(AwaitStatus([&](Engine::DoneStatus d) { engine_->RevokeLease(*lease, std::move(d)); }).ok());
  EXPECT_EQ(AwaitStatus([&](Engine::DoneStatus d) { engine_->RevokeLease(*lease, std::move(d)); }).code(),
            absl::StatusCode::kNotFound);
  EXPECT_TRUE(absl::IsNotFound(Get("bound").status()));
  EXPECT_EQ(*Get("freed"), "2");
}

TEST_F(EngineTest, WatchHistoryHasEveryChangeOnceInOrder) {
  const uint64_t before = engine_->watch_hub().revision();
  ASSERT_TRUE(Put("a/1", "x").ok());
  ASSERT_TRUE(Put("b/1", "y").ok());
  ASSERT_TRUE(Put("a/1", "z").ok());
  const auto page = engine_->watch_hub().Read("a/", before + 1, 1 << 20);
  ASSERT_FALSE(page.behind);
  ASSERT_EQ(page.changes.size(), 2u);
  EXPECT_EQ(page.changes[0].value, "x");
  EXPECT_EQ(page.changes[1].value, "z");
  EXPECT_EQ(page.revision, before + 3);
  Restart();
  EXPECT_TRUE(engine_->watch_hub().Read("a/", before + 1, 1 << 20).behind);
  EXPECT_FALSE(engine_->watch_hub().Read("a/", before + 4, 1 << 20).behind) << "nothing was missed";
}

// P12: the quota counts what a key takes, not what was ever written to it.
TEST_F(EngineTest, P12_OverwritingAKeyIsChargedForItsGrowthOnly) {
  options_.key_value_bytes_max = 1'000;
  Restart();
  ASSERT_TRUE(Put("a", std::string(600, 'x')).ok());
  EXPECT_TRUE(Put("a", std::string(700, 'y')).ok());
  EXPECT_TRUE(Put("a", std::string(999, 'z')).ok());
  EXPECT_EQ(Put("a", std::string(1'000, 'z')).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Put("b", "").status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Put("a", "small").ok());
  WriteJob both;
  both.puts.push_back({"b", std::string(600, 'x'), std::nullopt, 0});
  both.puts.push_back({"c", std::string(600, 'x'), std::nullopt, 0});
  EXPECT_EQ(Write(std::move(both)).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace holdfast::store
