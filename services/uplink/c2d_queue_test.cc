#include "services/uplink/c2d_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::uplink {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class C2dQueueTest : public testing::Test {
 protected:
  void SetUp() override { queue_.OnOpened(now_); }
  C2dQueue::Actions Message(uint16_t packet_id, const std::string& body, const std::string& bag = "",
                            bool room = true) {
    return queue_.OnMessage({.packet_id = packet_id, .bag = bag, .body = body}, room, now_);
  }
  C2dQueue::Actions Stored(bool stored = true) { return queue_.OnStored(stored, now_); }
  void Reconnect() {
    queue_.OnClosed(now_);
    now_ += absl::Seconds(1);
    queue_.OnOpened(now_);
  }

  absl::Duration now_ = absl::Seconds(1000);
  C2dQueue queue_;
};

// P1: acknowledged when stored, one behind the other, in order.
TEST_F(C2dQueueTest, AcknowledgesWhatIsStoredInOrder) {
  const auto first = Message(1, "a");
  ASSERT_TRUE(first.store);
  EXPECT_EQ(first.store->body, "a");
  EXPECT_THAT(first.acknowledge, IsEmpty());
  EXPECT_FALSE(Message(2, "b").store) << "one at a time";
  const auto second = Stored();
  EXPECT_THAT(second.acknowledge, ElementsAre(1));
  ASSERT_TRUE(second.store);
  EXPECT_EQ(second.store->body, "b");
  EXPECT_THAT(Stored().acknowledge, ElementsAre(2));
  EXPECT_EQ(queue_.bytes(), 0u);
}

// P1: what the store did not take is tried again, and nothing overtakes it.
TEST_F(C2dQueueTest, WhatTheStoreRefusesIsTriedAgain) {
  Message(1, "a");
  Message(2, "b");
  const auto again = Stored(false);
  EXPECT_THAT(again.acknowledge, IsEmpty());
  ASSERT_TRUE(again.store);
  EXPECT_EQ(again.store->body, "a");
}

TEST_F(C2dQueueTest, DroppedOnesAreAcknowledgedInTheirTurn) {
  Message(1, "a");
  EXPECT_THAT(queue_.OnMessage({.packet_id = 2, .body = "late", .drop = true}, true, now_).acknowledge, IsEmpty());
  Message(3, "c");
  const auto next = Stored();
  EXPECT_THAT(next.acknowledge, ElementsAre(1, 2));
  EXPECT_EQ(next.store->body, "c");
}

// P3: the acknowledgement was lost with the connection.
TEST_F(C2dQueueTest, MessageWhoseAcknowledgementWasLostIsRecognisedByItsId) {
  Message(1, "a", "%24.mid=m1");
  Stored();
  Reconnect();
  const auto again = Message(7, "a", "%24.mid=m1");
  EXPECT_FALSE(again.store);
  EXPECT_THAT(again.acknowledge, ElementsAre(7));
  EXPECT_EQ(queue_.recognised(), 1u);
  EXPECT_TRUE(Message(8, "a", "%24.mid=m1").store) << "once for each that was stored";
}

// Without an id two messages may look the same and be two.
TEST_F(C2dQueueTest, WithoutAnIdItIsStoredAgainRatherThanLost) {
  Message(1, "on");
  Stored();
  Reconnect();
  EXPECT_TRUE(Message(2, "on").store);
}

TEST_F(C2dQueueTest, OnOneConnectionNothingIsTakenForACopy) {
  Message(1, "a", "%24.mid=m1");
  Stored();
  EXPECT_TRUE(Message(2, "a", "%24.mid=m1").store);
}

// P3: the connection ended before the store answered: the hub has no acknowledgement, so it comes for certain.
TEST_F(C2dQueueTest, WhatWasBeingStoredWhenTheConnectionEndedIsRecognised) {
  Message(1, "on");
  Message(2, "off");
  Reconnect();
  EXPECT_FALSE(Message(5, "on").store) << "the store has not answered yet";
  Message(6, "off");
  const auto next = Stored();
  EXPECT_THAT(next.acknowledge, ElementsAre(5));
  ASSERT_TRUE(next.store);
  EXPECT_EQ(next.store->body, "off");
}

TEST_F(C2dQueueTest, WhatWasNotStoredAfterAllIsStored) {
  Message(1, "on");
  Reconnect();
  Message(5, "on");
  const auto next = Stored(false);
  ASSERT_TRUE(next.store);
  EXPECT_THAT(next.acknowledge, IsEmpty());
  EXPECT_THAT(Stored().acknowledge, ElementsAre(5));
}

TEST_F(C2dQueueTest, OldOnesAreForgotten) {
  Message(1, "a", "%24.mid=m1");
  Stored();
  now_ += C2dQueue::kUnsettled;
  Reconnect();
  EXPECT_TRUE(Message(2, "a", "%24.mid=m1").store) << "its acknowledgement arrived long ago";
  Stored();
  Reconnect();
  now_ += C2dQueue::kRecognised + absl::Seconds(1);
  EXPECT_TRUE(Message(3, "a", "%24.mid=m1").store) << "the hub does not wait so long";
}

// P12: what there is no room for waits at the hub, with all that come behind it; a new connection brings them.
TEST_F(C2dQueueTest, BeyondTheLimitMessagesWaitAtTheHub) {
  for (uint16_t id = 1; id <= C2dQueue::kMessagesMax; ++id) Message(id, "m");
  Message(100, "too many");
  EXPECT_FALSE(Stored().renew);
  Message(101, "behind it");
  for (size_t i = 2; i < C2dQueue::kMessagesMax; ++i) EXPECT_FALSE(Stored().renew);
  const auto last = Stored();
  EXPECT_TRUE(last.renew);
  EXPECT_FALSE(last.store);
}

TEST_F(C2dQueueTest, WithoutMemoryMessagesWaitAtTheHub) {
  EXPECT_TRUE(Message(1, "m", "", false).renew);
  EXPECT_EQ(queue_.bytes(), 0u);
}

}  // namespace
}  // namespace holdfast::uplink
