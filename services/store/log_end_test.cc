#include "services/store/log_end.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "services/store/crc32c.h"

namespace holdfast::store {
namespace {

constexpr size_t kBlockBytes = 32 << 10;
constexpr size_t kHeaderBytes = 7;
constexpr size_t kSectorBytes = 512;

std::string Fragment(char type, const std::string& payload) {
  const uint32_t crc = Crc32c(type + payload, 0);
  const uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xa282ead8;
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(masked >> (8 * i));
  bytes += static_cast<char>(payload.size());
  bytes += static_cast<char>(payload.size() >> 8);
  return bytes + type + payload;
}

// A log as LevelDB writes it: `ends` gets the end of each record.
std::string MakeLog(const std::vector<std::string>& records, std::vector<size_t>* ends) {
  std::string log;
  for (const std::string& record : records) {
    for (size_t at = 0; at < record.size() || at == 0;) {
      size_t left = kBlockBytes - log.size() % kBlockBytes;
      if (left < kHeaderBytes) {
        log.append(left, '\0');
        left = kBlockBytes;
      }
      const size_t part = std::min(left - kHeaderBytes, record.size() - at);
      const bool last = at + part == record.size();
      log += Fragment(at == 0 ? (last ? 1 : 2) : (last ? 4 : 3), record.substr(at, part));
      at += part;
      if (last) break;
    }
    ends->push_back(log.size());
  }
  return log;
}

std::string Noise(size_t bytes, unsigned seed) {
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>((seed = seed * 1103515245 + 12345) >> 16 | 1);
  return text;
}

class LogEndTest : public ::testing::Test {
 protected:
  // Records of many sizes: within a block, over several, and one that leaves less than a header of its block.
  std::vector<std::string> records_ = {Noise(100, 1), Noise(70'000, 2), Noise(10, 3), Noise(90'000, 4)};
  std::vector<size_t> ends_;
  std::string log_ = MakeLog(records_, &ends_);
};

TEST_F(LogEndTest, WholeLogIsRead) {
  EXPECT_EQ(LogEnd(""), 0u);
  EXPECT_EQ(LogEnd(log_), log_.size());
}

TEST_F(LogEndTest, ZeroesBehindTheRecordsAreLeftOut) {
  EXPECT_EQ(LogEnd(std::string(100'000, '\0')), 0u);
  for (const size_t zeroes : {7u, 100u, 512u, 5'000u, 200'000u}) {
    EXPECT_EQ(LogEnd(log_ + std::string(zeroes, '\0')), log_.size()) << zeroes;
  }
}

// P1: each sector of the last record may be missing, alone or with all behind it.
TEST_F(LogEndTest, RecordWithASectorThatWasNotWrittenIsLeftOut) {
  const size_t begin = ends_[2];
  for (size_t sector = begin / kSectorBytes * kSectorBytes; sector < log_.size(); sector += kSectorBytes) {
    const size_t from = std::max(sector, begin);
    std::string torn = log_ + std::string(50'000, '\0');
    std::fill_n(torn.begin() + static_cast<std::ptrdiff_t>(from), std::min(sector + kSectorBytes, log_.size()) - from,
                '\0');
    EXPECT_EQ(LogEnd(torn), begin) << sector;
    std::fill(torn.begin() + static_cast<std::ptrdiff_t>(from), torn.end(), '\0');
    EXPECT_EQ(LogEnd(torn), begin) << "all from " << sector;
  }
}

// P9: what was once right is for LevelDB to report.
TEST_F(LogEndTest, DamageIsNotTakenForTheEnd) {
  std::string zeroed = log_ + std::string(50'000, '\0');
  std::fill_n(zeroed.begin() + static_cast<std::ptrdiff_t>(ends_[0] + 1'000), 2'000, '\0');
  EXPECT_EQ(LogEnd(zeroed), zeroed.size()) << "records begin behind it";
  std::string flipped = log_ + std::string(50'000, '\0');
  flipped[ends_[2] + 40'000] ^= 0x10;
  EXPECT_EQ(LogEnd(flipped), flipped.size()) << "the last record, but all of its sectors were written";
}

TEST_F(LogEndTest, AnyCutOfTheFileIsLeftToLevelDb) {
  for (size_t size = 0; size < log_.size(); size += 997) {
    EXPECT_EQ(LogEnd(log_.substr(0, size)), size);
  }
}

}  // namespace
}  // namespace holdfast::store
