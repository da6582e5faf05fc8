#include "cli/status_watch.h"

#include <gtest/gtest.h>

namespace holdfast::cli {
namespace {

TEST(FitScreenTest, CutsLinesAndRows) {
  EXPECT_EQ(FitScreen("short\nlonger than that\nthird\n", 8, 10), "short\nlonger t\nthird\n");
  EXPECT_EQ(FitScreen("1\n2\n3\n", 8, 2), "1\n2");
  EXPECT_EQ(FitScreen("", 8, 2), "");
}

TEST(FitScreenTest, CharactersStayWhole) {
  EXPECT_EQ(FitScreen("für\nüüüü\n", 2, 5), "fü\nüü\n");
}

}  // namespace
}  // namespace holdfast::cli
