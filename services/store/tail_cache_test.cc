#include "services/store/tail_cache.h"

#include <gtest/gtest.h>

namespace holdfast::store {
namespace {

BlockPtr MakeBlock(uint64_t first, uint32_t count, size_t bytes = 100, uint32_t priority = kDefaultPriority) {
  auto block = std::make_shared<Block>();
  block->priority = priority;
  block->first_sequence = first;
  block->header.record_count = count;
  block->value = std::string(bytes, 'x');
  return block;
}

TEST(TailCacheTest, FindsTheBlockThatHoldsASequenceAndTheNextOneInAGap) {
  TailCache cache(1000);
  cache.Insert(1, MakeBlock(1, 3));
  cache.Insert(1, MakeBlock(10, 2));
  EXPECT_EQ(cache.Find(1, kDefaultPriority, 3)->first_sequence, 1u);
  EXPECT_EQ(cache.Find(1, kDefaultPriority, 4)->first_sequence, 10u);
  EXPECT_EQ(cache.Find(1, kDefaultPriority, 12), nullptr);
  EXPECT_EQ(cache.Find(1, 0, 1), nullptr);
  EXPECT_EQ(cache.Find(2, kDefaultPriority, 1), nullptr);
}

TEST(TailCacheTest, P12_StaysWithinItsBytesAndForgetsTheOldest) {
  TailCache cache(250);
  for (uint64_t i = 1; i <= 10; ++i) cache.Insert(i % 2, MakeBlock(i, 1));
  EXPECT_LE(cache.bytes(), 250u);
  EXPECT_EQ(cache.Find(1, kDefaultPriority, 1), nullptr) << "does not reach back: look on disk";
  EXPECT_EQ(cache.Find(1, kDefaultPriority, 9)->first_sequence, 9u);
}

TEST(TailCacheTest, TrimForgetsWhatWasPassed) {
  TailCache cache(1000);
  cache.Insert(1, MakeBlock(1, 1));
  cache.Insert(1, MakeBlock(2, 1));
  cache.Trim(1, kDefaultPriority, 2);
  EXPECT_EQ(cache.bytes(), 100u);
  cache.ForgetQueue(1);
  EXPECT_EQ(cache.bytes(), 0u);
}

}  // namespace
}  // namespace holdfast::store
