#include "services/router/dedupe_window.h"

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

TEST(DedupeWindowTest, SizeZeroRecognisesNothing) {
  DedupeWindow window(0);
  window.Remember(1, "t", "a");
  EXPECT_FALSE(window.Contains(1, "t", "a"));
}

}  // namespace
}  // namespace holdfast::router
