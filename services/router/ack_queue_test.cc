#include "services/router/ack_queue.h"

#include <gtest/gtest.h>

#include "lib/mqtt/packet.h"

namespace holdfast::router {
namespace {

std::string Pubacks(std::initializer_list<uint16_t> ids) {
  std::string bytes;
  for (const uint16_t id : ids) mqtt::AppendPuback(id, &bytes);
  return bytes;
}

TEST(AckQueueTest, AcknowledgesInOrderOfArrivalWhateverTheOrderOfCommits) {
  AckQueue queue;
  const uint64_t a = queue.Push(11, 1);
  const uint64_t b = queue.Push(12, 2);
  const uint64_t c = queue.Push(13, 1);
  std::string out;
  queue.Committed(c, 1);
  EXPECT_EQ(queue.PopDone(&out), 0u);
  queue.Committed(a, 1);
  EXPECT_EQ(queue.PopDone(&out), 1u);
  EXPECT_EQ(out, Pubacks({11}));
  queue.Committed(b, 1);
  EXPECT_EQ(queue.PopDone(&out), 0u) << "one of its two places is still open";
  queue.Committed(b, 1);
  EXPECT_EQ(queue.PopDone(&out), 2u);
  EXPECT_EQ(out, Pubacks({11, 12, 13}));
  EXPECT_EQ(queue.size(), 0u);
}

TEST(AckQueueTest, Qos0IsCountedAndNotAcknowledged) {
  AckQueue queue;
  queue.Push(0, 1);
  queue.Push(5, 1);
  EXPECT_EQ(queue.size(), 2u);
  queue.Committed(1, 2);
  std::string out;
  EXPECT_EQ(queue.PopDone(&out), 2u);
  EXPECT_EQ(out, Pubacks({5}));
}

TEST(AckQueueTest, GrowsAndGoesRound) {
  AckQueue queue;
  std::string out;
  uint16_t sent = 0;
  uint64_t committed = 1;
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 37; ++i) queue.Push(++sent, 1);
    queue.Committed(committed, 30);
    committed += 30;
    EXPECT_EQ(queue.PopDone(&out), 30u);
  }
  EXPECT_EQ(queue.size(), 50u * 7);
  std::string expected;
  for (uint16_t id = 1; id <= 1500; ++id) mqtt::AppendPuback(id, &expected);
  EXPECT_EQ(out, expected);
  queue.Committed(1'000'000, 5);  // never given out
  EXPECT_EQ(queue.PopDone(&out), 0u);
}

}  // namespace
}  // namespace holdfast::router
