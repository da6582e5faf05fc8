// Random operations against a model in memory: what a queue promises, with restarts in between.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "services/store/engine_fixture.h"

namespace holdfast::store {
namespace {

struct ModelRecord {
  uint64_t sequence = 0;
  std::string text;
};

struct ModelQueue {
  uint64_t next_sequence = 1;
  uint64_t appended = 0;
  std::map<uint32_t, std::deque<ModelRecord>> lanes;
  std::map<std::string, std::map<uint32_t, uint64_t>> checkpoints;

  uint64_t Passed(const std::string& consumer, uint32_t priority) {
    const auto& own = checkpoints[consumer];
    const auto it = own.find(priority);
    return it == own.end() ? 0 : it->second;
  }
  std::vector<Received> Expected(const std::string& consumer) {
    std::vector<Received> expected;
    for (const auto& [priority, records] : lanes) {
      for (const ModelRecord& record : records) {
        if (record.sequence > Passed(consumer, priority)) expected.push_back({priority, record.sequence, record.text});
      }
    }
    return expected;
  }
  void Trim() {
    if (checkpoints.empty()) return;
    for (auto& [priority, records] : lanes) {
      uint64_t passed = UINT64_MAX;
      for (const auto& [consumer, own] : checkpoints) passed = std::min(passed, Passed(consumer, priority));
      while (!records.empty() && records.front().sequence <= passed) records.pop_front();
    }
  }
  size_t records() const {
    size_t count = 0;
    for (const auto& [priority, records] : lanes) count += records.size();
    return count;
  }
};

class EngineModelTest : public EngineFixture {
 protected:
  void RunWith(unsigned seed) {
    SCOPED_TRACE(seed);
    options_.data_dir = dir_ / ("seed" + std::to_string(seed));
    options_.tail_cache_bytes = seed % 2 == 0 ? 16 << 20 : 2000;
    options_.database.write_buffer_bytes = 64 << 10;
    options_.ttl_seconds = -1;
    options_.encryption_key_file = seed % 3 == 0 ? dir_ / "store.key" : "";
    Open();
    random_.seed(seed);
    model_.clear();
    history_.clear();
    for (int step = 0; step < 400; ++step) {
      SCOPED_TRACE(step);
      ASSERT_NO_FATAL_FAILURE(Step());
    }
    for (auto& [name, queue] : model_) ASSERT_NO_FATAL_FAILURE(Compare(name, queue));
  }

 private:
  // What was done, shown when it turns out wrong.
  void Trace(const std::string& line) { history_ += line + "\n"; }
  unsigned Pick(unsigned n) { return static_cast<unsigned>(random_() % n); }

  void Step() {
    const std::string name = Pick(2) == 0 ? "q1" : "q2";
    ModelQueue& queue = model_[name];
    const unsigned what = Pick(100);
    if (what < 50) {
      AppendSome(name, queue);
    } else if (what < 75) {
      CommitSome(name, queue);
    } else if (what < 92) {
      Compare(name, queue);
    } else if (what < 94) {
      const auto priority = kPriorities[Pick(3)];
      Trace(fmt::format("{} purge priority {}", name, priority));
      const auto purged = Await<uint64_t>([&](auto done) { engine_->Purge(name, priority, std::move(done)); });
      if (purged.ok()) queue.lanes[priority].clear();
    } else if (what < 97) {
      const std::string consumer = kConsumers[Pick(3)];
      Trace(fmt::format("{} delete consumer {}", name, consumer));
      const absl::Status status =
          AwaitStatus([&](auto done) { engine_->DeleteConsumer(name, consumer, std::move(done)); });
      EXPECT_EQ(status.ok(), queue.checkpoints.erase(consumer) == 1);
      queue.Trim();
    } else {
      Trace("restart");
      Restart();
    }
  }

  void AppendSome(const std::string& name, ModelQueue& queue) {
    const uint32_t priority = kPriorities[Pick(3)];
    std::vector<std::string> texts;
    for (unsigned i = 0; i <= Pick(6); ++i) texts.push_back(std::to_string(random_()) + std::string(Pick(300), 'x'));
    Trace(fmt::format("{} append {} records priority {}", name, texts.size(), priority));
    const auto first = Append(name, texts, priority);
    ASSERT_TRUE(first.ok()) << first.status();
    ASSERT_EQ(*first, queue.next_sequence);
    for (const std::string& text : texts) queue.lanes[priority].push_back({queue.next_sequence++, text});
    queue.appended += texts.size();
  }

  void CommitSome(const std::string& name, ModelQueue& queue) {
    const std::string consumer = kConsumers[Pick(3)];
    ASSERT_TRUE(Register(name, consumer).ok());
    auto& own = queue.checkpoints[consumer];
    const uint32_t priority = kPriorities[Pick(3)];
    const uint64_t sequence = random_() % queue.next_sequence;
    Trace(fmt::format("{} commit {} priority {} up to {}", name, consumer, priority, sequence));
    ASSERT_TRUE(Commit(name, consumer, sequence, priority).ok());
    // A lane that never held anything has no checkpoint, and needs none.
    if (queue.lanes.contains(priority)) own[priority] = std::max(own[priority], sequence);
    queue.Trim();
  }

  void Compare(const std::string& name, ModelQueue& queue) {
    if (queue.appended == 0 && queue.checkpoints.empty()) return;
    const std::string consumer = kConsumers[Pick(3)];
    Trace(fmt::format("{} drain {}", name, consumer));
    const auto expected = queue.Expected(consumer);
    ASSERT_EQ(Drain(name, consumer), expected) << history_;
    queue.checkpoints[consumer];
    queue.Trim();
    const QueueView view = View(name);
    ASSERT_EQ(view.next_sequence, queue.next_sequence);
    ASSERT_EQ(view.appended, queue.appended);
    ASSERT_EQ(view.records, queue.records());
    ASSERT_EQ(view.lag.at(consumer), expected.size());
    ASSERT_EQ(view.corrupt, 0u);
    if (view.records == 0) {
      ASSERT_EQ(view.bytes, 0u);
    }
  }

  static constexpr uint32_t kPriorities[] = {0, 4, kDefaultPriority};
  static constexpr const char* kConsumers[] = {"a", "b", "c"};
  std::mt19937_64 random_;
  std::string history_;
  std::map<std::string, ModelQueue> model_;
};

// P2
TEST_F(EngineModelTest, QueuesDoWhatTheModelDoes) {
  for (unsigned seed = 1; seed <= 8; ++seed) ASSERT_NO_FATAL_FAILURE(RunWith(seed));
}

}  // namespace
}  // namespace holdfast::store
