#include "services/store/encryption.h"

#include <gtest/gtest.h>

#include <set>

namespace holdfast::store {
namespace {

const std::string kKey(32, 'k');
const std::string kOtherKey(32, 'o');
constexpr std::string_view kText = "what nobody may read";

Block MakeBlockOf(std::string_view records) {
  Block block;
  block.header = {.record_count = 1, .ttl_seconds = 60, .edge_ms = 5};
  block.value = std::string(kBlockHeaderBytes, '\0').append(records);
  return block;
}

class EncryptionTest : public ::testing::Test {
 protected:
  // The value on disk.
  std::string Finish(const Encryption& encryption, std::string_view records = kText) {
    Block block = MakeBlockOf(records);
    std::string sealed;
    return std::string(encryption.FinishBlock(key_, &block, &sealed));
  }
  absl::StatusOr<std::string> Open(const Encryption& encryption, const std::string& key, const std::string& value) {
    const auto header = ReadBlockHeader(key, value);
    if (!header) return absl::DataLossError("checksum");
    std::string out;
    if (const absl::Status status = encryption.OpenBlock(key, *header, value, &out); !status.ok()) return status;
    return out.substr(kBlockHeaderBytes);
  }

  const std::string key_ = BlockKey(1, 2, 3);
  const Encryption off_;
  const Encryption on_ = *Encryption::Create({kKey});
};

TEST_F(EncryptionTest, OffWritesWhatItWasGivenAndOnReadsIt) {
  const std::string value = Finish(off_);
  EXPECT_NE(value.find(kText), std::string::npos);
  EXPECT_EQ(*Open(off_, key_, value), kText);
  EXPECT_EQ(*Open(on_, key_, value), kText);
  EXPECT_EQ(off_.key_id(), 0u);
  EXPECT_NE(on_.key_id(), 0u);
}

TEST_F(EncryptionTest, SealedBlockOpensAndShowsNothing) {
  const std::string value = Finish(on_);
  EXPECT_EQ(value.find(kText), std::string::npos);
  EXPECT_EQ(value.size(), kBlockHeaderBytes + kText.size() + kSealedOverheadBytes);
  const auto header = ReadBlockHeader(key_, value);
  ASSERT_TRUE(header.has_value());
  EXPECT_TRUE(header->sealed);
  EXPECT_EQ(header->edge_ms, 5u);
  EXPECT_EQ(BlockRecordBytes(*header, value), kText.size());
  EXPECT_EQ(*Open(on_, key_, value), kText);
  EXPECT_EQ(*Open(on_, key_, Finish(on_, "")), "");
}

TEST_F(EncryptionTest, BlockInMemoryStaysAsItWas) {
  Block block = MakeBlockOf(kText);
  std::string sealed;
  (void)on_.FinishBlock(key_, &block, &sealed);
  EXPECT_EQ(block.records(), kText);
  EXPECT_FALSE(block.header.sealed);
}

TEST_F(EncryptionTest, NoNonceComesTwice) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(seen.insert(Finish(on_).substr(kBlockHeaderBytes + 8, kSealedNonceBytes)).second);
  }
}

// Whoever can write to the disk can make the checksum right.
TEST_F(EncryptionTest, P6_MovedOrRelabelledBlockDoesNotOpen) {
  const std::string value = Finish(on_);
  for (const std::string& other : {BlockKey(2, 2, 3), BlockKey(1, 1, 3), BlockKey(1, 2, 4)}) {
    std::string moved = value;
    PutBlockChecksum(other, &moved);
    ASSERT_TRUE(ReadBlockHeader(other, moved).has_value());
    EXPECT_EQ(Open(on_, other, moved).status().code(), absl::StatusCode::kDataLoss);
  }
  for (size_t i = 1; i < value.size(); ++i) {
    if (i >= kBlockChecksumOffset && i < kBlockChecksumOffset + kBlockChecksumBytes) continue;
    std::string changed = value;
    changed[i] = static_cast<char>(changed[i] ^ 4);
    PutBlockChecksum(key_, &changed);
    EXPECT_FALSE(Open(on_, key_, changed).ok()) << i;
  }
}

TEST_F(EncryptionTest, OpensWithAnyOfItsKeysAndSealsWithTheFirst) {
  const Encryption both = *Encryption::Create({kOtherKey, kKey});
  EXPECT_EQ(*Open(both, key_, Finish(on_)), kText);
  EXPECT_FALSE(Open(on_, key_, Finish(both)).ok());
  EXPECT_FALSE(Open(off_, key_, Finish(on_)).ok());
  EXPECT_TRUE(both.Has(on_.key_id()));
  EXPECT_NE(both.key_id(), on_.key_id());
  EXPECT_EQ(Encryption::KeyIdOf(std::string_view(Finish(both)).substr(kBlockHeaderBytes)), both.key_id());
}

TEST_F(EncryptionTest, ValueIsBoundToItsKeyItsRevisionAndItsLease) {
  const EntryValue entry{.revision = 7, .lease_id = 8, .value = kText};
  const std::string encoded = on_.FinishEntry("name", entry);
  EXPECT_EQ(encoded.find(kText), std::string::npos);
  const auto decoded = DecodeEntry(encoded);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->revision, 7u);
  EXPECT_EQ(decoded->lease_id, 8u);
  EXPECT_EQ(decoded->value_bytes(), kText.size());
  EXPECT_EQ(*on_.OpenEntry("name", encoded, *decoded), kText);
  EXPECT_FALSE(on_.OpenEntry("other", encoded, *decoded).ok());
  for (size_t i = 1; i < encoded.size(); ++i) {
    std::string changed = encoded;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(on_.OpenEntry("name", changed, *DecodeEntry(changed)).ok()) << i;
  }
  const std::string plain = off_.FinishEntry("name", entry);
  EXPECT_EQ(*on_.OpenEntry("name", plain, *DecodeEntry(plain)), kText);
}

TEST_F(EncryptionTest, KeysOfAnotherSizeAreRefused) {
  EXPECT_EQ(Encryption::Create({}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Encryption::Create({kKey, "short"}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace holdfast::store
