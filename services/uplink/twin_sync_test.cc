#include "services/uplink/twin_sync.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace holdfast::uplink {
namespace {

using What = TwinSync::What;

class TwinSyncTest : public testing::Test {
 protected:
  void SetUp() override { sync_.OnReady(now_); }
  TwinSync::Step Next() { return sync_.Next(now_); }
  void Stored(TwinSync::Stored stored = {}) { sync_.OnStored(stored, now_); }
  void Answer(const std::string& rid, int status, const std::string& body = "") {
    sync_.OnAnswer(rid, status, body, now_);
  }
  // Up to the document that is read first, with nothing to tell.
  void Settle() {
    ASSERT_EQ(Next().what, What::kBeginSending);
    Stored();
    const auto read = Next();
    ASSERT_EQ(read.what, What::kRead);
    Answer(read.rid, 200, "{}");
    ASSERT_EQ(Next().what, What::kTakeDocument);
    Stored();
    ASSERT_TRUE(sync_.settled());
    ASSERT_EQ(Next().what, What::kNothing);
  }
  // A patch is on its way to the hub; its rid.
  std::string Sending(const std::string& patch) {
    EXPECT_EQ(Next().what, What::kBeginSending);
    Stored({.patch = patch});
    const auto send = Next();
    EXPECT_EQ(send.what, What::kSendPatch);
    EXPECT_EQ(send.text, patch);
    return send.rid;
  }

  absl::Duration now_ = absl::Seconds(1000);
  RequestRate rate_{std::numeric_limits<double>::infinity()};
  TwinSync sync_{{}, &rate_, [] { return 0.5; }};
};

// P10: first what the client said, then what the hub has.
TEST_F(TwinSyncTest, TellsThenReads) {
  const std::string rid = Sending("{\"a\":1}");
  EXPECT_EQ(Next().what, What::kNothing) << "one at a time";
  Answer("another", 204);
  EXPECT_EQ(Next().what, What::kNothing) << "nobody asked that";
  Answer(rid, 204);
  EXPECT_EQ(Next().what, What::kSent);
  Stored({.pending = true});
  const std::string second = Sending("{\"b\":1}");
  EXPECT_NE(second, rid);
  Answer(second, 204);
  EXPECT_EQ(Next().what, What::kSent);
  Stored();
  const auto read = Next();
  EXPECT_EQ(read.what, What::kRead);
  Answer(read.rid, 200, "{\"desired\":{}}");
  const auto take = Next();
  EXPECT_EQ(take.what, What::kTakeDocument);
  EXPECT_EQ(take.text, "{\"desired\":{}}");
  Stored();
  EXPECT_TRUE(sync_.settled());
  EXPECT_EQ(sync_.next_tick(), absl::InfiniteDuration());
}

// P10: what the hub will never take does not hold up what comes later.
TEST_F(TwinSyncTest, FinalRefusalIsSetAsideAndTheNextGoesOn) {
  Answer(Sending("{\"a\":1}"), 400);
  const auto refused = Next();
  EXPECT_EQ(refused.what, What::kRefused);
  EXPECT_THAT(refused.text, testing::HasSubstr("400"));
  Stored({.pending = true});
  Sending("{\"b\":1}");
}

TEST_F(TwinSyncTest, WhatIsBusyIsSentAgainUnchangedAfterABackOffAndReadingGoesOnMeanwhile) {
  Answer(Sending("{\"a\":1}"), 429);
  EXPECT_THAT(sync_.trouble(), testing::HasSubstr("429"));
  const auto read = Next();
  ASSERT_EQ(read.what, What::kRead);
  Answer(read.rid, 200, "{}");
  EXPECT_EQ(Next().what, What::kTakeDocument);
  Stored();
  EXPECT_FALSE(sync_.settled());
  EXPECT_EQ(Next().what, What::kNothing);
  EXPECT_EQ(sync_.next_tick(), now_ + absl::Milliseconds(500));
  now_ = sync_.next_tick();
  const auto again = Next();
  EXPECT_EQ(again.what, What::kSendPatch);
  EXPECT_EQ(again.text, "{\"a\":1}");
  Answer(again.rid, 500);
  EXPECT_EQ(sync_.next_tick(), now_ + absl::Seconds(1)) << "longer each time";
}

TEST_F(TwinSyncTest, NoAnswerIsTriedAgain) {
  const std::string rid = Sending("{\"a\":1}");
  now_ += absl::Seconds(20);
  EXPECT_EQ(Next().what, What::kRead);
  Answer(rid, 204);
  EXPECT_EQ(Next().what, What::kNothing) << "too late: it is sent again, which does no harm";
}

TEST_F(TwinSyncTest, PatchesAreTakenInOrderAndAGapIsReadOver) {
  Settle();
  sync_.OnDesired("1");
  sync_.OnDesired("2");
  EXPECT_EQ(Next().text, "1");
  Stored();
  EXPECT_EQ(Next().text, "2");
  Stored({.result = twin::PatchResult::kGap});
  const auto read = Next();
  EXPECT_EQ(read.what, What::kRead);
  sync_.OnDesired("4");
  Answer(read.rid, 200, "{}");
  EXPECT_EQ(Next().what, What::kTakeDocument);
  Stored();
  EXPECT_EQ(Next().text, "4");
  Stored({.result = twin::PatchResult::kOld});
  EXPECT_TRUE(sync_.settled());
}

// P12.
TEST_F(TwinSyncTest, TooManyPatchesAreReadInstead) {
  Settle();
  for (size_t i = 0; i <= TwinSync::kPatchesMax; ++i) sync_.OnDesired("p");
  EXPECT_EQ(Next().what, What::kRead);
}

// The answer that is awaited may be older than what was left out.
TEST_F(TwinSyncTest, TooManyPatchesWhileTheDocumentIsAwaitedAreReadOnceMore) {
  Settle();
  sync_.OnReady(now_);
  ASSERT_EQ(Next().what, What::kBeginSending);
  Stored();
  const auto read = Next();
  ASSERT_EQ(read.what, What::kRead);
  for (size_t i = 0; i <= TwinSync::kPatchesMax; ++i) sync_.OnDesired("p");
  Answer(read.rid, 200, "{}");
  EXPECT_EQ(Next().what, What::kTakeDocument);
  Stored();
  EXPECT_EQ(Next().what, What::kRead);
}

TEST_F(TwinSyncTest, ReportedMeanwhileIsToldToo) {
  const std::string rid = Sending("{\"a\":1}");
  sync_.OnPending();
  Answer(rid, 204);
  EXPECT_EQ(Next().what, What::kSent);
  Stored();
  EXPECT_EQ(Next().what, What::kBeginSending);
}

TEST_F(TwinSyncTest, StoreThatIsAwayIsTriedAgainAndNothingIsLost) {
  Answer(Sending("{\"a\":1}"), 204);
  EXPECT_EQ(Next().what, What::kSent);
  Stored({.status = absl::UnavailableError("away")});
  EXPECT_EQ(Next().what, What::kNothing);
  now_ = sync_.next_tick();
  EXPECT_EQ(Next().what, What::kSent);
}

TEST_F(TwinSyncTest, DocumentThatIsNoneIsReadAgainLater) {
  Next();
  Stored();
  Answer(Next().rid, 200, "no json");
  EXPECT_EQ(Next().what, What::kTakeDocument);
  Stored({.status = absl::InvalidArgumentError("no object")});
  EXPECT_EQ(Next().what, What::kNothing);
  now_ = sync_.next_tick();
  EXPECT_EQ(Next().what, What::kRead);
}

// Many clients after a reconnect: the hub is asked at the rate that it allows.
TEST(RequestRateTest, SpreadsRequests) {
  RequestRate rate(10);
  EXPECT_EQ(rate.Take(absl::Seconds(5)), absl::Seconds(5));
  EXPECT_EQ(rate.Take(absl::Seconds(5)), absl::Seconds(5.1));
  TwinSync sync({}, &rate, [] { return 0.5; });
  sync.OnReady(absl::Seconds(5));
  EXPECT_EQ(sync.Next(absl::Seconds(5)).what, What::kBeginSending);
  sync.OnStored({}, absl::Seconds(5));
  EXPECT_EQ(sync.Next(absl::Seconds(5)).what, What::kNothing);
  EXPECT_EQ(sync.next_tick(), absl::Seconds(5.2));
  EXPECT_EQ(sync.Next(absl::Seconds(5.2)).what, What::kRead);
}

TEST(IsFinalRefusal, OnlyWhatThePatchItselfIsToBlameFor) {
  for (const int status : {400, 405, 413, 422}) EXPECT_TRUE(IsFinalRefusal(status)) << status;
  for (const int status : {200, 401, 403, 404, 408, 429, 500, 503}) EXPECT_FALSE(IsFinalRefusal(status)) << status;
}

}  // namespace
}  // namespace holdfast::uplink
