#include "cli/output.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace holdfast::cli {
namespace {

TEST(OutputTest, TableAlignsNumbersToTheRight) {
  Table table({"QUEUE", "RECORDS", "LAG"});
  table.Add({"upstream", "5", "-"});
  table.Add({"é", "12345", "-"});
  EXPECT_EQ(table.Text(),
            "QUEUE     RECORDS  LAG\n"
            "upstream        5  -\n"
            "é           12345  -\n");
}

TEST(OutputTest, HumanUnits) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanBytes(uint64_t{3} << 40), "3.0 TiB");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(420)), "0.4 s");
  EXPECT_EQ(HumanDuration(absl::Seconds(185)), "3 min 5 s");
  EXPECT_EQ(HumanDuration(absl::Hours(99)), "4 d 3 h");
  EXPECT_EQ(HumanDuration(-absl::Seconds(1)), "-");
  EXPECT_EQ(HumanTime(absl::FromUnixSeconds(0)), "1970-01-01T00:00:00Z");
  EXPECT_EQ(HumanTime(absl::InfinitePast()), "-");
}

}  // namespace
}  // namespace holdfast::cli
