#include "services/store/disk_format.h"

#include <gtest/gtest.h>

#include "services/store/crc32c.h"

namespace holdfast::store {
namespace {

TEST(Crc32cTest, AgreesWithTheStandard) {
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);  // RFC 3720, B.4
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c("456789", Crc32c("123")), Crc32c("123456789"));
}

TEST(DiskFormatTest, OrderOfKeysIsOrderOfNumbers) {
  EXPECT_LT(BlockKey(1, 0, 255), BlockKey(1, 0, 256));
  EXPECT_LT(BlockKey(1, 9, UINT64_MAX), BlockKey(1, 2'000'000'000, 1));
  EXPECT_LT(BlockKey(255, 0, 1), BlockKey(256, 0, 1));
  const auto parts = ParseBlockKey(BlockKey(7, 8, 9));
  ASSERT_TRUE(parts.has_value());
  EXPECT_EQ(parts->queue_id, 7u);
  EXPECT_EQ(parts->priority, 8u);
  EXPECT_EQ(parts->first_sequence, 9u);
  EXPECT_FALSE(ParseBlockKey("b123").has_value());
}

TEST(DiskFormatTest, EveryFlippedBitOfABlockIsNoticed) {
  const std::string key = BlockKey(1, 2, 3);
  std::string value(kBlockHeaderBytes, '\0');
  value += "records";
  PutBlockHeader({.record_count = 2, .ttl_seconds = -1, .wall_ms = -5, .edge_ms = 6, .records_before = 7}, &value);
  PutBlockChecksum(key, &value);
  const auto header = ReadBlockHeader(key, value);
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->record_count, 2u);
  EXPECT_EQ(header->ttl_seconds, -1);
  EXPECT_EQ(header->wall_ms, -5);
  EXPECT_EQ(header->records_before, 7u);
  EXPECT_FALSE(ReadBlockHeader(BlockKey(1, 2, 4), value).has_value()) << "under another key";
  for (size_t i = 0; i < value.size(); ++i) {
    std::string damaged = value;
    damaged[i] ^= 1;
    EXPECT_FALSE(ReadBlockHeader(key, damaged).has_value()) << i;
  }
}

TEST(DiskFormatTest, QueueAndStateComeBackAsTheyWere) {
  QueueCounters counters;
  counters.next_sequence = 77;
  counters.lanes.push_back({.priority = 3, .end_sequence = 77, .passed_sequence = 5});
  const auto queue = DecodeQueue(Encode({"name", "incarnation", {FullPolicy::kDropOldest, 9, -1}}, counters));
  ASSERT_TRUE(queue.has_value());
  EXPECT_EQ(queue->info.name, "name");
  EXPECT_EQ(queue->info.settings.full_policy, FullPolicy::kDropOldest);
  EXPECT_EQ(queue->counters.next_sequence, 77u);
  ASSERT_EQ(queue->counters.lanes.size(), 1u);
  EXPECT_EQ(queue->counters.lanes[0].passed_sequence, 5u);
  StoreState state;
  state.store_id = "id";
  state.clock.off_since_wall_ms = -1;
  const std::string encoded = Encode(state);
  EXPECT_EQ(DecodeStoreState(encoded)->clock.off_since_wall_ms, -1);
  EXPECT_FALSE(DecodeStoreState(encoded.substr(1)).has_value());
  EXPECT_FALSE(DecodeStoreState(encoded + "x").has_value());
}

TEST(DiskFormatTest, StateOfOlderVersionsIsRead) {
  StoreState state;
  state.store_id = "id";
  std::string one = Encode(state);
  EXPECT_EQ(one[0], 3) << "an older store must not start where it does not find the blocks";
  one[0] = 1;
  one.pop_back();  // the number of keys
  ASSERT_TRUE(DecodeStoreState(one).has_value());
  EXPECT_EQ(DecodeStoreState(one)->store_id, "id");

  state.key_uses = {{.key_id = 0, .last_used_edge_ms = 5}, {.key_id = 0xfedcba9876543210, .last_used_edge_ms = 0}};
  std::string two = Encode(state);
  two[0] = 2;
  for (const std::string& with : {two, Encode(state)}) {
    const auto decoded = DecodeStoreState(with);
    ASSERT_TRUE(decoded.has_value());
    ASSERT_EQ(decoded->key_uses.size(), 2u);
    EXPECT_EQ(decoded->key_uses[0].last_used_edge_ms, 5u);
    EXPECT_EQ(decoded->key_uses[1].key_id, 0xfedcba9876543210);
    EXPECT_FALSE(DecodeStoreState(with.substr(0, with.size() - 1)).has_value());
  }
  two[0] = 4;
  EXPECT_FALSE(DecodeStoreState(two).has_value()) << "of a newer version";
}

TEST(DiskFormatTest, SealedTextsCutShortAreNotRead) {
  const std::string key = BlockKey(1, 2, 3);
  std::string block(kBlockHeaderBytes + kSealedOverheadBytes, 'x');
  PutBlockHeader({.sealed = true, .record_count = 1}, &block);
  PutBlockChecksum(key, &block);
  ASSERT_TRUE(ReadBlockHeader(key, block).has_value());
  EXPECT_EQ(BlockRecordBytes(*ReadBlockHeader(key, block), block), 0u);
  block.pop_back();
  PutBlockChecksum(key, &block);
  EXPECT_FALSE(ReadBlockHeader(key, block).has_value());
  const std::string entry = Encode({.revision = 1, .value = std::string(kSealedOverheadBytes, 'x'), .sealed = true});
  EXPECT_TRUE(DecodeEntry(entry).has_value());
  EXPECT_FALSE(DecodeEntry(entry.substr(1)).has_value());
  EXPECT_FALSE(DecodeEntry(entry.substr(0, entry.size() - 1)).has_value());
}

TEST(DiskFormatTest, ChangesAndRidersComeBack) {
  std::string changes;
  AppendPut("k", "v", &changes);
  AppendDelete("gone", &changes);
  AppendPut("empty", "", &changes);
  const std::string encoded = EncodeRider({7, changes});
  const auto rider = DecodeRider(encoded);
  ASSERT_TRUE(rider.has_value());
  EXPECT_EQ(rider->number, 7u);
  const auto decoded = DecodeChanges(rider->changes);
  ASSERT_TRUE(decoded.has_value());
  ASSERT_EQ(decoded->size(), 3u);
  EXPECT_EQ((*decoded)[0].value, "v");
  EXPECT_EQ((*decoded)[1].key, "gone");
  EXPECT_EQ((*decoded)[1].value, std::nullopt);
  EXPECT_EQ((*decoded)[2].value, "");
  for (size_t cut = 1; cut < changes.size(); ++cut) {
    const auto part = DecodeChanges(std::string_view(changes).substr(0, cut));
    EXPECT_TRUE(!part || part->size() < 3) << cut;
  }
}

TEST(DiskFormatTest, RiderStandsBehindItsBlock) {
  const std::string block = BlockKey(1, 10, 5);
  const std::string rider = RiderKey(block);
  EXPECT_LT(block, rider);
  EXPECT_LT(rider, BlockKey(1, 10, 6));
  EXPECT_TRUE(IsRiderKey(rider));
  EXPECT_FALSE(IsRiderKey(block));
  EXPECT_EQ(BlockOf(rider), block);
  EXPECT_EQ(LanePrefixOf(rider), LanePrefix(1, 10));
  EXPECT_FALSE(ParseBlockKey(rider).has_value());
}

}  // namespace
}  // namespace holdfast::store
