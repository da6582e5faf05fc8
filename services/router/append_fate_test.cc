#include "services/router/append_fate.h"

#include <gtest/gtest.h>

#include "lib/record/block.h"

namespace holdfast::router {
namespace {

std::shared_ptr<const store::v1::AppendRequest> Of(std::initializer_list<std::string_view> records) {
  auto request = std::make_shared<store::v1::AppendRequest>();
  for (const std::string_view record : records) AppendRecord(record, request->mutable_records());
  request->set_record_count(static_cast<uint32_t>(records.size()));
  return request;
}

size_t Committed(FateMatcher::Requests requests, std::initializer_list<std::pair<uint64_t, std::string>> queue) {
  FateMatcher matcher(/*from_sequence=*/1, std::move(requests));
  for (const auto& [sequence, record] : queue) matcher.Add(sequence, record);
  return matcher.Committed();
}

TEST(FateMatcherTest, NothingThere) {
  EXPECT_EQ(Committed({Of({"a", "b"}), Of({"c"})}, {}), 0u);
  EXPECT_EQ(Committed({Of({"a", "b"})}, {{5, "x"}, {6, "a"}}), 0u) << "a block is there whole or not at all";
  EXPECT_EQ(Committed({Of({"a", "b"})}, {{5, "a"}, {7, "b"}}), 0u) << "without a gap";
}

TEST(FateMatcherTest, FoundBetweenThoseOfOthers) {
  EXPECT_EQ(Committed({Of({"a", "b"}), Of({"c"}), Of({"d"})}, {{1, "x"}, {2, "a"}, {3, "b"}, {4, "y"}, {5, "c"}}), 2u);
}

// Two requests with the same bytes need two places.
TEST(FateMatcherTest, TheSameBytesTwice) {
  EXPECT_EQ(Committed({Of({"a"}), Of({"a"})}, {{1, "a"}}), 1u);
  EXPECT_EQ(Committed({Of({"a"}), Of({"a"})}, {{1, "a"}, {2, "a"}}), 2u);
}

// What a consumer has taken is committed if something sent after it is there, and if its place is empty.
TEST(FateMatcherTest, TheFirstIsGoneAndTheSecondIsThere) {
  EXPECT_EQ(Committed({Of({"a"}), Of({"b"}), Of({"c"})}, {{2, "b"}}), 2u);
  EXPECT_EQ(Committed({Of({"a"}), Of({"b"}), Of({"c"})}, {{1, "b"}}), 0u) << "there was no room for the first";
  EXPECT_EQ(Committed({Of({"a", "a"}), Of({"b"})}, {{2, "b"}}), 0u) << "not enough room for the first";
}

// P1: one that is not there is not committed, whatever follows.
TEST(FateMatcherTest, AHoleInTheMiddleEndsIt) {
  EXPECT_EQ(Committed({Of({"a"}), Of({"b"}), Of({"c"})}, {{1, "a"}, {2, "c"}}), 1u);
}

}  // namespace
}  // namespace holdfast::router
