#include "services/router/dedupe_window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace holdfast::router {
namespace {

TEST(DedupeWindowTest, SameIdentifierAndContentIsTheSameMessage) {
  DedupeWindow window(4);
  EXPECT_FALSE(window.Contains(1, "t", "a"));
  window.Remember(1, "t", "a");
  EXPECT_TRUE(window.Contains(1, "t", "a"));
  EXPECT_FALSE(window.Contains(2, "t", "a"));
  EXPECT_FALSE(window.Contains(1, "t", "b"));
  EXPECT_FALSE(window.Contains(1, "ta", ""));
}

TEST(DedupeWindowTest, AnIdentifierThatWasUsedAgainStandsForItsLatestMessage) {
  DedupeWindow window(4);
  window.Remember(1, "t", "old");
  window.Remember(1, "t", "new");
  EXPECT_TRUE(window.Contains(1, "t", "new"));
  EXPECT_FALSE(window.Contains(1, "t", "old"));
}

// P12: the window is bounded; what is older than its size is forgotten, first in, first out.
TEST(DedupeWindowTest, HoldsTheLastOnes) {
  DedupeWindow window(4);
  for (uint16_t id = 1; id <= 10; ++id) window.Remember(id, "t", std::to_string(id));
  for (uint16_t id = 1; id <= 6; ++id) EXPECT_FALSE(window.Contains(id, "t", std::to_string(id))) << id;
  for (uint16_t id = 7; id <= 10; ++id) EXPECT_TRUE(window.Contains(id, "t", std::to_string(id))) << id;
  window.Clear();
  EXPECT_FALSE(window.Contains(10, "t", "10"));
  window.Remember(11, "t", "11");
  EXPECT_TRUE(window.Contains(11, "t", "11"));
}

TEST(DedupeWindowTest, WhatIsSavedIsRecognisedByAnotherOne) {
  DedupeWindow window(4);
  const std::string long_body(1000, 'x');
  for (uint16_t id = 1; id <= 6; ++id) window.Remember(id, "bag", long_body + std::to_string(id));
  PacketIdSet open(kPacketIds);
  open[5] = true;
  const std::vector<uint64_t> saved = window.Save(2, open);
  EXPECT_EQ(saved.size(), 2u);
  DedupeWindow other(4);
  other.Load(saved);
  EXPECT_FALSE(other.Contains(3, "bag", long_body + "3")) << "more than was asked for";
  EXPECT_TRUE(other.Contains(4, "bag", long_body + "4"));
  EXPECT_FALSE(other.Contains(5, "bag", long_body + "5")) << "not committed when it was saved";
  EXPECT_TRUE(other.Contains(6, "bag", long_body + "6"));
  EXPECT_FALSE(other.Contains(6, "bag", long_body + "7"));
}

// It is on disk: a change of it would make every gateway that is updated store twice what is sent again at that moment.
TEST(DedupeWindowTest, TheHashStaysWhatItIs) {
  DedupeWindow window(4);
  window.Remember(0x0102, "a=b", "a body of more than eight bytes");
  EXPECT_THAT(window.Save(4, PacketIdSet(kPacketIds)), ::testing::ElementsAre(72'622'758'209'552'002u));
}

TEST(DedupeWindowTest, SizeZeroRecognisesNothing) {
  DedupeWindow window(0);
  window.Remember(1, "t", "a");
  EXPECT_FALSE(window.Contains(1, "t", "a"));
}

}  // namespace
}  // namespace holdfast::router
