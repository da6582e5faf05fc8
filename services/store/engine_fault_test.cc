// What a crash, a full disk and a damaged file do to what was acknowledged.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "services/store/engine_fixture.h"

namespace holdfast::store {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

class EngineFaultTest : public EngineFixture {
 protected:
  EngineFaultTest() {
    options_.database.env = &env_;
    options_.database.disk = env_.disk();
    options_.database.write_buffer_bytes = 64 << 10;  // So that files are written and compacted in a short test.
    options_.database.file_bytes_max = 1 << 20;
  }

  // Acknowledged records by sequence, and the highest checkpoint acknowledged.
  struct Acknowledged {
    std::map<uint64_t, std::string> records;
    uint64_t checkpoint = 0;
    uint64_t checkpoint_tried = 0;
    std::string value;
    std::set<std::string> values_tried;
  };

  // Appends, commits and puts until the end or until the disk fails.
  void Work(int rounds, Acknowledged* acked) {
    if (!Register("q", "c").ok()) return;
    for (int round = 0; round < rounds; ++round) {
      const std::string text = "round " + std::to_string(round) + std::string(2000, 'x');
      const auto first = Append("q", {text, text + "'"});
      if (!first.ok()) return;
      acked->records[*first] = text;
      acked->records[*first + 1] = text + "'";
      acked->values_tried.insert(text);
      WriteJob job;
      job.puts.push_back({"key", text, std::nullopt, 0});
      if (round % 3 == 2) {
        acked->checkpoint_tried = *first - 2;
        job.commits.push_back({"q", "c", {{.priority = kDefaultPriority, .sequence = *first - 2}}});
      }
      if (!Write(std::move(job)).ok()) return;
      acked->value = text;
      acked->checkpoint = acked->checkpoint_tried;
    }
  }

  void Check(const Acknowledged& acked) {
    const auto received = Drain("q", "c");
    std::map<uint64_t, std::string> found;
    uint64_t last = 0;
    for (const Received& r : received) {
      EXPECT_GT(r.sequence, last) << "order";
      last = r.sequence;
      found[r.sequence] = r.record;
    }
    for (const auto& [sequence, text] : acked.records) {
      if (sequence <= acked.checkpoint_tried) continue;
      ASSERT_TRUE(found.contains(sequence)) << "acknowledged record " << sequence << " is lost";
      EXPECT_EQ(found[sequence], text);
    }
    if (!received.empty()) {
      EXPECT_GT(received.front().sequence, acked.checkpoint) << "a checkpoint went back";
    }
    if (!acked.value.empty()) {
      const auto value = Get("key");
      ASSERT_TRUE(value.ok()) << value.status();
      EXPECT_TRUE(*value == acked.value || acked.values_tried.contains(*value));
    }
    const uint64_t highest = acked.records.empty() ? 0 : acked.records.rbegin()->first;
    EXPECT_GT(View("q").next_sequence, highest);
    const auto next = Append("q", {"after"});
    ASSERT_TRUE(next.ok()) << next.status();
    EXPECT_GT(*next, highest) << "a sequence was used twice";
  }

  // Of the blocks' database.
  std::vector<std::string> Files(const std::string& extension) {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(options_.data_dir + "/blocks")) {
      if (entry.path().extension() == extension) paths.push_back(entry.path().string());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }

  static void Damage(const std::string& path, double from, double to) {
    const auto size = static_cast<double>(std::filesystem::file_size(path));
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(size * from));
    file << std::string(static_cast<size_t>(size * (to - from)) + 1, '#');
  }

  // Whatever write the power cut comes at, and whatever of the unsynced rest reached the disk: records, zeroes of a log
  // that is being prepared, names. Nothing of that is damage.
  void CutPowerAtEveryWrite(int rounds);
};

void EngineFaultTest::CutPowerAtEveryWrite(int rounds) {
  constexpr double kKeep[] = {0, 0.5, 0.9};
  size_t complete = 0;
  for (int64_t cut = 1; complete < std::size(kKeep); ++cut) {
    SCOPED_TRACE(cut);
    ASSERT_LT(cut, 5000) << "the work must come to an end";
    options_.data_dir = dir_ / ("cut" + std::to_string(cut));
    env_.FailAfter(-1);
    Open();
    env_.FailAfter(cut);
    Acknowledged acked;
    give_up_ = true;
    Work(rounds, &acked);
    give_up_ = false;
    engine_.reset();
    if (acked.records.size() == 2u * static_cast<size_t>(rounds)) ++complete;
    env_.DropUnsynced(kKeep[cut % 3]);
    env_.FailAfter(-1);
    Open();
    ASSERT_NO_FATAL_FAILURE(Check(acked));
    EXPECT_THAT(engine_->database().damaged_files(), SizeIs(0));
    engine_.reset();
    std::filesystem::remove_all(options_.data_dir);
  }
}

TEST_F(EngineFaultTest, P1_PowerCutAtEveryWriteLosesNothingAcknowledged) {
  CutPowerAtEveryWrite(24);
}

TEST_F(EngineFaultTest, P1_PowerCutAtEveryWriteLosesNothingEncrypted) {
  options_.encryption_key_file = dir_ / "secrets/store.key";
  CutPowerAtEveryWrite(12);
}

// P8: ENOSPC in the middle: the same request is answered once the disk takes writes again, and takes effect once.
TEST_F(EngineFaultTest, P8_FailedWriteIsAnsweredAfterReopeningAndTakesEffectOnce) {
  Open();
  ASSERT_TRUE(Append("q", {"before"}).ok());
  std::vector<bool> writable;
  engine_->OnWritable([&](bool w) { writable.push_back(w); });
  for (int round = 0; round < 3; ++round) {
    env_.FailNow(true);
    std::atomic<int> answered = 0;
    for (int i = 0; i < 3; ++i) {
      engine_->Append(5, Job("q", {fmt::format("r{}i{}", round, i)}), true,
                      [&](absl::StatusOr<uint64_t> r) { answered += r.ok(); });
    }
    ASSERT_TRUE(Eventually([&] { return engine_->status().state == State::kReopening; }));
    EXPECT_EQ(Append("q", {"refused"}).status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(answered, 0);
    env_.FailNow(false);
    ASSERT_TRUE(Eventually([&] { return answered == 3; }));
    EXPECT_EQ(engine_->status().state, State::kServing);
  }
  EXPECT_THAT(writable, ElementsAre(false, true, false, true, false, true));
  EXPECT_THAT(Texts(Drain("q", "c")),
              ElementsAre("before", "r0i0", "r0i1", "r0i2", "r1i0", "r1i1", "r1i2", "r2i0", "r2i1", "r2i2"));
}

// P2: what a stream sends while the database is being reopened comes behind what it sent before.
TEST_F(EngineFaultTest, P2_AppendsSentDuringAReopenStayBehindTheFailedOnes) {
  Open();
  ASSERT_TRUE(Append("q", {"before"}).ok());
  std::atomic<int> answered = 0;
  const auto append = [&](const std::string& text) {
    engine_->Append(5, Job("q", {text}), true, [&](absl::StatusOr<uint64_t> r) { answered += r.ok(); });
  };
  env_.FailNow(true);
  append("first");
  ASSERT_TRUE(Eventually([&] { return engine_->status().state == State::kReopening; }));
  append("second");
  append("third");
  // Answered behind the two in the same inbox: they are held by now.
  ASSERT_EQ(Append("q", {"refused"}).status().code(), absl::StatusCode::kUnavailable);
  env_.FailNow(false);
  ASSERT_TRUE(Eventually([&] { return answered == 3; }));
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("before", "first", "second", "third"));
}

// The write is on disk but its fsync failed: it must not be there twice.
TEST_F(EngineFaultTest, P8_WriteThatReachedTheDiskThoughItFailedIsNotRepeated) {
  Open();
  ASSERT_TRUE(Append("q", {"before"}).ok());
  for (int64_t operations = 0; operations < 6; ++operations) {
    env_.FailAfter(operations);
    std::atomic<int> answered = 0;
    const uint64_t appended = View("q").appended;
    engine_->Append(5, Job("q", {"x" + std::to_string(operations)}), true,
                    [&](absl::StatusOr<uint64_t> r) { answered += r.ok(); });
    Eventually([&] { return answered == 1 || engine_->status().state == State::kReopening; });
    env_.FailNow(false);
    ASSERT_TRUE(Eventually([&] { return answered == 1; }));
    EXPECT_EQ(View("q").appended, appended + 1);
  }
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("before", "x0", "x1", "x2", "x3", "x4", "x5"));
}

// P9: what is on a damaged table is lost and counted, the rest is served.
TEST_F(EngineFaultTest, P9_DamagedTableCostsOnlyWhatIsInIt) {
  Open();
  constexpr int kRecords = 400;
  for (int i = 0; i < kRecords; ++i) ASSERT_TRUE(Append("q", {std::to_string(i) + std::string(3000, 'x')}).ok());
  engine_.reset();
  const auto tables = Files(".ldb");
  ASSERT_GE(tables.size(), 2u);
  Damage(tables[0], 0.3, 0.5);
  Open();
  const auto received = Drain("q", "c");
  EXPECT_LT(received.size(), static_cast<size_t>(kRecords));
  EXPECT_GT(received.size(), static_cast<size_t>(kRecords) / 2);
  EXPECT_TRUE(std::is_sorted(received.begin(), received.end(),
                             [](const Received& a, const Received& b) { return a.sequence < b.sequence; }));
  EXPECT_EQ(View("q").corrupt + received.size(), static_cast<size_t>(kRecords));
  EXPECT_TRUE(Eventually([&] { return engine_->status().corrupt_records == kRecords - received.size(); }))
      << engine_->status().corrupt_records;
  EXPECT_EQ(Drain("q", "other").size(), received.size());
  EXPECT_EQ(View("q").corrupt + received.size(), static_cast<size_t>(kRecords)) << "counted once";
  const auto next = Append("q", {"after"});
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_GT(*next, static_cast<uint64_t>(kRecords));
  ASSERT_TRUE(Commit("q", "c", *next).ok());
  EXPECT_EQ(View("q").lag["c"], 0u);
}

TEST_F(EngineFaultTest, P9_MissingTableIsRepairedAndTheNumberingGoesOn) {
  Open();
  constexpr int kRecords = 400;
  for (int i = 0; i < kRecords; ++i) ASSERT_TRUE(Append("q", {std::to_string(i) + std::string(3000, 'x')}).ok());
  ASSERT_TRUE(Put("k", "v").ok());
  const uint64_t revision = engine_->watch_hub().revision();
  engine_.reset();
  const auto tables = Files(".ldb");
  std::filesystem::remove(tables[0]);
  Open();
  const auto received = Drain("q", "c");
  EXPECT_GT(received.size(), 0u);
  EXPECT_LT(received.size(), static_cast<size_t>(kRecords));
  EXPECT_GT(*Append("q", {"after"}), static_cast<uint64_t>(kRecords));
  EXPECT_GT(*Put("k2", "v"), revision);
  EXPECT_FALSE(engine_->database().damaged_files().empty());
}

TEST_F(EngineFaultTest, P9_DamagedManifestIsRepairedWithoutLoss) {
  Open();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Append("q", {std::to_string(i) + std::string(3000, 'x')}).ok());
  engine_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(options_.data_dir + "/db")) {
    if (entry.path().filename().string().starts_with("MANIFEST")) Damage(entry.path(), 0, 0.9);
  }
  Open();
  EXPECT_THAT(Drain("q", "c"), SizeIs(100));
  EXPECT_FALSE(engine_->database().damaged_files().empty());
  EXPECT_GT(*Append("q", {"after"}), 100u);
}

TEST_F(EngineFaultTest, P9_DamagedWriteAheadLogIsReportedAndKeptAside) {
  options_.database.write_buffer_bytes = 8 << 20;
  Open();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Append("q", {std::to_string(i) + std::string(3000, 'x')}).ok());
  engine_.reset();
  const auto logs = Files(".log");
  ASSERT_THAT(logs, SizeIs(1));
  Damage(logs[0], 0.4, 0.45);
  Open();
  const auto received = Drain("q", "c");
  EXPECT_LT(received.size(), 100u);
  EXPECT_GT(received.size(), 50u);
  EXPECT_EQ(View("q").corrupt + received.size(), 100u);
  ASSERT_FALSE(engine_->database().damaged_files().empty());
  EXPECT_TRUE(std::filesystem::exists(engine_->database().damaged_files()[0]));
  EXPECT_GT(*Append("q", {"after"}), 100u);
}

class EngineLossTest : public EngineFixture {
 protected:
  EngineLossTest() {
    options_.tail_cache_bytes = 0;  // Every block is read from disk.
    Open();
  }
  std::string Swap(uint64_t first_sequence, const std::string& value) {
    const std::string key = BlockKey(Register("q", "c")->feed->queue_id(), kDefaultPriority, first_sequence);
    std::string before = engine_->database().Get(key).value();
    Batch batch;
    batch.Put(key, value);
    EXPECT_TRUE(engine_->database().Write(&batch).ok());
    return before;
  }
  PullCursor Cursor() {
    const auto start = Register("q", "c");
    return {engine_->database(), engine_->encryption(), engine_->tail(),
            engine_->clock(),    start->feed,           start->checkpoints};
  }
};

// P9: records of other lanes come between the damaged tail of a lane and its next block.
TEST_F(EngineLossTest, P9_DamagedTailIsCountedOnce) {
  ASSERT_EQ(*Append("q", {"a"}), 1u);
  ASSERT_EQ(*Append("q", {"b", "b"}), 2u);
  Swap(2, "damaged");
  PullCursor cursor = Cursor();
  const uint64_t queue_id = Register("q", "c")->feed->queue_id();
  EXPECT_THAT(Texts(Continue(cursor, queue_id)), ElementsAre("a"));
  ASSERT_TRUE(Append("q", {"urgent"}, 0).ok());
  ASSERT_TRUE(Append("q", {"c"}).ok());
  EXPECT_THAT(Texts(Continue(cursor, queue_id)), ElementsAre("urgent", "c"));
  EXPECT_EQ(View("q").corrupt, 2u);
}

// A disk may fail to read for once: what can be read later is neither passed over nor marked as lost.
TEST_F(EngineLossTest, P9_BlockThatCouldNotBeReadForOnceIsServed) {
  for (const char* text : {"a", "b", "c", "d"}) ASSERT_TRUE(Append("q", {text}).ok());
  const std::string whole = Swap(2, "not read");
  PullCursor cursor = Cursor();
  std::vector<Loss> losses;
  ASSERT_NE(cursor.Next(&losses).block, nullptr);  // Reads ahead, past the second block.
  Swap(2, whole);
  EXPECT_THAT(Texts(Continue(cursor, Register("q", "c")->feed->queue_id())), ElementsAre("b", "c", "d"));
  EXPECT_THAT(losses, SizeIs(0));
  EXPECT_EQ(View("q").corrupt, 0u);
}

TEST_F(EngineLossTest, P9_ReadableBlockIsNotMarkedAsLost) {
  for (const char* text : {"a", "b", "c"}) ASSERT_TRUE(Append("q", {text}).ok());
  const auto start = Register("q", "c");
  engine_->ReportLosses(
      start->feed->queue_id(),
      {{.priority = kDefaultPriority, .first_sequence = 2, .records_before = 1, .bytes_before = 1, .record_count = 1}});
  EXPECT_EQ(View("q").corrupt, 0u);
  EXPECT_THAT(Texts(Drain("q", "c")), ElementsAre("a", "b", "c"));
}

// P2: a crash at any point between a repair and the first write after it must not let a number be given out twice.
TEST_F(EngineFaultTest, P9_NumberingMovesOnThoughTheRepairIsInterrupted) {
  options_.database.write_buffer_bytes = 8 << 20;
  for (int64_t cut = 0;; ++cut) {
    SCOPED_TRACE(cut);
    options_.data_dir = dir_ / ("cut" + std::to_string(cut));
    Open();
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(Append("q", {std::to_string(i) + std::string(3000, 'x')}).ok());
    engine_.reset();
    const auto logs = Files(".log");
    ASSERT_THAT(logs, SizeIs(1));
    Damage(logs[0], 0.9, 0.95);
    env_.FailAfter(cut);
    const bool opened = Engine::Create(options_, metrics_.get()).ok();
    env_.DropUnsynced(0.5);
    env_.FailAfter(-1);
    Open();
    EXPECT_GT(*Append("q", {"after"}), 20u);
    engine_.reset();
    if (opened) break;
    ASSERT_LT(cut, 1000);
  }
}

}  // namespace
}  // namespace holdfast::store
