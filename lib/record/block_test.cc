#include "lib/record/block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast {
namespace {

TEST(BlockTest, RecordsComeBackInOrderWithTheirBytes) {
  std::string block;
  const std::string big(300, 'x');
  AppendRecord("a", &block);
  AppendRecord("", &block);
  AppendRecord(big, &block);
  EXPECT_EQ(CountRecords(block), 3u);
  BlockReader reader(block);
  EXPECT_EQ(reader.Next(), "a");
  EXPECT_EQ(reader.Next(), "");
  EXPECT_EQ(reader.Next(), big);
  EXPECT_TRUE(reader.done());
  EXPECT_EQ(reader.Next(), std::nullopt);
}

TEST(BlockTest, MalformedBlocksAreRefused) {
  EXPECT_EQ(CountRecords(""), 0u);
  EXPECT_EQ(CountRecords("\x05"
                         "abc"),
            std::nullopt);
  EXPECT_EQ(CountRecords("\x80"), std::nullopt);
  EXPECT_EQ(CountRecords("\xff\xff\xff\xff\xff\x01"), std::nullopt);
}

}  // namespace
}  // namespace holdfast
