// Two databases that are one: what a batch holds is there together or not at all, whatever a crash comes at.
#include "services/store/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <leveldb/write_batch.h>

#include <map>
#include <random>
#include <set>

#include "services/store/disk_format.h"
#include "services/store/engine_fixture.h"
#include "services/store/level_db.h"

namespace holdfast::store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Map = std::map<std::string, std::string>;

class DatabaseTest : public ::testing::Test {
 protected:
  DatabaseTest() {
    options_.write_buffer_bytes = 64 << 10;
    options_.file_bytes_max = 1 << 20;
    options_.env = &env_;
    options_.disk = env_.disk();
    SetDirectory("data");
  }
  void SetDirectory(const std::string& name) {
    options_.directory = dir_ / (name + "/db");
    options_.blocks_directory = dir_ / (name + "/blocks");
    options_.damaged_directory = dir_ / (name + "/damaged");
  }
  void Open() {
    database_.reset();
    auto database = Database::Open(options_);
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
  }
  // Power is cut; of what was not synced the share `keep` is there.
  void Crash(double keep = 0) {
    env_.FailNow(true);
    database_.reset();
    env_.DropUnsynced(keep);
    env_.FailNow(false);
    Open();
  }
  absl::Status Write(const std::function<void(Batch&)>& fill) {
    Batch batch;
    fill(batch);
    return database_->Write(&batch);
  }
  Map All(std::string_view prefix) {
    Map all;
    Database::Scan scan(*database_, std::string(prefix), /*checked=*/true);
    for (scan.SeekFirst(); scan.Valid(); scan.Next()) all.emplace(scan.key(), scan.value());
    return all;
  }
  std::vector<std::string> Keys(std::string_view prefix, bool riders = false) {
    std::vector<std::string> keys;
    Database::Scan scan(*database_, std::string(prefix), /*checked=*/true, riders);
    for (scan.SeekFirst(); scan.Valid(); scan.Next()) keys.emplace_back(scan.key());
    return keys;
  }

  TempDir dir_;
  FaultEnv env_;
  Database::Options options_;
  std::unique_ptr<Database> database_;
};

TEST_F(DatabaseTest, P1_WhatRodeOnABlockIsThereAfterACrash) {
  Open();
  ASSERT_TRUE(Write([](Batch& batch) {
                batch.Append(BlockKey(1, 10, 1), "block");
                batch.Put(QueueKey(1), "queue");
                batch.Put(StateKey(), "state");
              }).ok());
  Crash();
  EXPECT_TRUE(database_->unclean());
  EXPECT_EQ(database_->Get(BlockKey(1, 10, 1)).value_or(""), "block");
  EXPECT_EQ(database_->Get(QueueKey(1)).value_or(""), "queue");
  EXPECT_FALSE(database_->repaired()) << "a crash is no damage";
}

TEST_F(DatabaseTest, P1_RiderIsNeededLongerThanItsBlock) {
  Open();
  ASSERT_TRUE(Write([](Batch& batch) {
                batch.Append(BlockKey(1, 10, 1), "first");
                batch.Put(QueueKey(1), "queue");
              }).ok());
  ASSERT_TRUE(Write([](Batch& batch) {
                batch.Append(BlockKey(2, 10, 1), "second");
                batch.Delete(BlockKey(1, 10, 1));
                batch.Put(QueueKey(2), "other");
              }).ok());
  Crash();
  EXPECT_EQ(database_->Get(QueueKey(1)).value_or(""), "queue");
  EXPECT_EQ(database_->Get(QueueKey(2)).value_or(""), "other");
  EXPECT_FALSE(database_->repaired());
}

TEST_F(DatabaseTest, P8_AfterAFailedWriteBothRefuseUntilTheyAreOpenedAgain) {
  Open();
  env_.FailNow(true);
  EXPECT_FALSE(Write([](Batch& batch) { batch.Append(BlockKey(1, 10, 1), "block"); }).ok());
  env_.FailNow(false);
  const auto put = [](Batch& batch) { batch.Put(EntryKey("k"), "v"); };
  EXPECT_FALSE(Write(put).ok()) << "the other database works, but is one with this one";
  ASSERT_TRUE(database_->Reopen(/*repair=*/false).ok());
  EXPECT_TRUE(Write(put).ok());
}

TEST_F(DatabaseTest, EntryThatRidesIsReadAtOnce) {
  Open();
  ASSERT_TRUE(Write([](Batch& batch) {
                batch.Append(BlockKey(1, 10, 1), "block");
                batch.Put(EntryKey("k"), "v");
              }).ok());
  EXPECT_EQ(database_->Get(EntryKey("k")).value_or(""), "v");
}

TEST_F(DatabaseTest, WalksSeeBlocksAndNoRiders) {
  Open();
  for (uint64_t i = 1; i <= 3; ++i) {
    ASSERT_TRUE(Write([i](Batch& batch) { batch.Append(BlockKey(1, 10, i), "block"); }).ok());
  }
  EXPECT_THAT(Keys(kBlockPrefix), ElementsAre(BlockKey(1, 10, 1), BlockKey(1, 10, 2), BlockKey(1, 10, 3)));
  Database::Scan scan(*database_, LanePrefix(1, 10), /*checked=*/false);
  scan.SeekLast();
  EXPECT_EQ(scan.key(), BlockKey(1, 10, 3));
  scan.SeekBefore(BlockKey(1, 10, 3));
  EXPECT_EQ(scan.key(), BlockKey(1, 10, 2));
}

TEST_F(DatabaseTest, NothingOfADeletedBlockStays) {
  Open();
  for (uint64_t i = 1; i <= 3; ++i) {
    ASSERT_TRUE(Write([i](Batch& batch) { batch.Append(BlockKey(1, 10, i), "block"); }).ok());
  }
  ASSERT_TRUE(Write([](Batch& batch) {
                for (uint64_t i = 1; i <= 3; ++i) batch.Delete(BlockKey(1, 10, i));
                batch.Put(QueueKey(1), "empty");
              }).ok());
  Open();
  EXPECT_FALSE(database_->unclean());
  EXPECT_THAT(Keys(kBlockPrefix, /*riders=*/true), IsEmpty());
}

TEST_F(DatabaseTest, BlocksOfTheOldFormatMove) {
  {
    DamagedFiles damaged(options_.damaged_directory);
    LevelDb old(
        {.directory = options_.directory, .env = &env_, .disk = env_.disk(), .damaged = &damaged, .on_repair = [] {}});
    ASSERT_TRUE(old.Open(/*repair=*/false).ok());
    leveldb::WriteBatch batch;
    for (uint64_t i = 1; i <= 100; ++i) batch.Put(BlockKey(1, 10, i), std::string(100'000, 'x'));
    batch.Put(QueueKey(1), "queue");
    ASSERT_TRUE(old.Write(&batch, /*sync=*/true).ok());
    old.Close();
  }
  Open();
  EXPECT_EQ(Keys(kBlockPrefix).size(), 100u);
  EXPECT_EQ(database_->Get(QueueKey(1)).value_or(""), "queue");
  Open();
  EXPECT_EQ(Keys(kBlockPrefix).size(), 100u);
}

// Why blocks have a database of their own.
TEST_F(DatabaseTest, BlocksOfALaneAreWrittenToTablesOnce) {
  constexpr uint64_t kBlocks = 400;
  constexpr size_t kBlockBytes = 20'000;
  Open();
  for (uint64_t i = 1; i <= kBlocks; ++i) {
    ASSERT_TRUE(Write([i](Batch& batch) {
                  batch.Append(BlockKey(1, 10, i), std::string(kBlockBytes, 'x'));
                  batch.Put(QueueKey(1), std::to_string(i));
                  batch.Put(StateKey(), std::to_string(i));
                }).ok());
    ASSERT_TRUE(Write([i](Batch& batch) { batch.Put(CheckpointsKey(1, "c"), std::to_string(i)); }).ok());
  }
  database_.reset();
  EXPECT_GT(env_.table_bytes("/blocks/"), kBlocks * kBlockBytes / 2);
  EXPECT_LT(env_.table_bytes("/blocks/"), kBlocks * kBlockBytes * 6 / 5);
}

// Batches as the engine makes them, and what is there after each, but for deleted blocks.
class Model {
 public:
  explicit Model(uint32_t seed) : random_(seed) {}

  Batch Next() {
    Batch batch;
    ++step_;
    const uint64_t queue = Below(3);
    const int kind = Below(10);
    if (kind < 6) {
      for (uint64_t i = 0; i <= Below(3); ++i) {
        const std::string key = BlockKey(queue + Below(2), 10, ++sequence_);
        batch.Append(key, Value(key));
        blocks_[key] = Value(key);
      }
    }
    if (kind >= 4 && !blocks_.empty()) Remove(1 + Below(4), &batch);
    if (kind == 9 && !blocks_.empty()) {
      const std::string key = blocks_.begin()->first;
      batch.Put(key, "hole");
      blocks_[key] = "hole";
    }
    Put(StateKey(), &batch);
    Put(QueueKey(queue), &batch);
    if (kind % 3 == 0) Put(CheckpointsKey(queue, "c"), &batch);
    if (kind == 2 || kind == 7) Put(EntryKey(std::string(1, static_cast<char>('a' + Below(4)))), &batch);
    return batch;
  }
  const Map& blocks() const { return blocks_; }
  const Map& rest() const { return rest_; }
  const std::set<std::string>& deleted() const { return deleted_; }

 private:
  uint64_t Below(uint64_t end) { return random_() % end; }
  std::string Value(const std::string& key) const { return key + std::to_string(step_) + std::string(3000, 'x'); }
  void Put(const std::string& key, Batch* batch) {
    rest_[key] = std::to_string(step_);
    batch->Put(key, rest_[key]);
  }
  void Remove(uint64_t count, Batch* batch) {
    for (uint64_t i = 0; i < count && !blocks_.empty(); ++i) {
      batch->Delete(blocks_.begin()->first);
      deleted_.insert(blocks_.begin()->first);
      blocks_.erase(blocks_.begin());
    }
  }

  std::mt19937 random_;
  int step_ = 0;
  uint64_t sequence_ = 0;
  Map blocks_;
  Map rest_;
  std::set<std::string> deleted_;
};

// P1, P2: power is cut at every write. After it there is what was acknowledged, or that and the batch under way.
TEST_F(DatabaseTest, P1_PowerCutAtEveryWriteLeavesWholeBatches) {
  constexpr double kKeep[] = {0, 0.5, 0.9};
  constexpr int kBatches = 60;
  bool complete = false;
  for (int64_t cut = 1; !complete; ++cut) {
    SCOPED_TRACE(cut);
    ASSERT_LT(cut, 5000);
    SetDirectory("cut" + std::to_string(cut));
    env_.FailAfter(-1);
    Open();
    env_.FailAfter(cut);
    Model model(static_cast<uint32_t>(cut));
    Model before = model;
    complete = true;
    for (int i = 0; i < kBatches && complete; ++i) {
      before = model;
      Batch batch = model.Next();
      complete = database_->Write(&batch).ok();
    }
    database_.reset();
    env_.DropUnsynced(kKeep[cut % 3]);
    env_.FailAfter(-1);
    Open();
    Map rest;
    for (const std::string_view prefix : {"s", "q", "k", "v"}) rest.merge(All(prefix));
    const bool whole = rest == model.rest();
    if (!whole) ASSERT_EQ(rest, before.rest());
    const Model& now = whole ? model : before;
    Map blocks = All(kBlockPrefix);
    // Those that the batch under way deletes may be gone only if it is there.
    for (const auto& [key, value] : now.blocks()) ASSERT_EQ(blocks[key], value);
    for (const auto& [key, value] : blocks) {
      ASSERT_TRUE(now.blocks().contains(key) || now.deleted().contains(key)) << "a block of a batch that is not there";
    }
    ASSERT_FALSE(database_->repaired());
    database_.reset();
    std::filesystem::remove_all(dir_ / ("cut" + std::to_string(cut)));
  }
}

}  // namespace
}  // namespace holdfast::store
