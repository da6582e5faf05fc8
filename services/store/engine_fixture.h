// For the engine's tests: an engine on a directory of its own, calls that wait for their answer, and a disk that fails
// on demand.
#pragma once

#include <gtest/gtest.h>
#include <leveldb/env.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "lib/base/metrics.h"
#include "lib/record/block.h"
#include "lib/testing/manual_clock.h"
#include "lib/testing/temp_dir.h"
#include "services/store/disk.h"
#include "services/store/engine.h"
#include "services/store/pull_cursor.h"

namespace holdfast::store {

class FaultDisk;

// A disk whose writes stop to work after a number of them, or while told so, and that can forget what was not synced.
class FaultEnv final : public leveldb::EnvWrapper {
 public:
  FaultEnv();
  ~FaultEnv() override;

  // From the n-th write, sync, rename or removal on, all fail; negative = never.
  void FailAfter(int64_t operations);
  void FailNow(bool fail) { FailAfter(fail ? 0 : -1); }
  int64_t operations() const;
  // Bytes of tables written to files whose path has `part` in it.
  uint64_t table_bytes(std::string_view part) const;
  // Makes of each file that this environment wrote what a power cut leaves: what was synced, and of the rest a part
  // `keep` (0 to 1) that happened to reach the disk: of a log, sectors here and there. Only when no engine is open.
  void DropUnsynced(double keep = 0);
  // Write-ahead logs are written through it; it fails along with this environment.
  FaultDisk* disk() { return disk_.get(); }

  leveldb::Status NewWritableFile(const std::string& path, leveldb::WritableFile** result) override;
  leveldb::Status NewAppendableFile(const std::string& path, leveldb::WritableFile** result) override;
  leveldb::Status RemoveFile(const std::string& path) override;
  leveldb::Status RenameFile(const std::string& from, const std::string& to) override;

 private:
  friend class FaultFile;
  friend class FaultDisk;
  struct Sizes {
    uint64_t written = 0;
    uint64_t synced = 0;
  };
  leveldb::Status Count();

  const std::unique_ptr<FaultDisk> disk_;
  mutable absl::Mutex mutex_;
  int64_t operations_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t fail_at_ ABSL_GUARDED_BY(mutex_) = -1;
  std::map<std::string, Sizes> files_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, uint64_t> table_bytes_ ABSL_GUARDED_BY(mutex_);  // removed ones too
};

// The part of FaultEnv that write-ahead logs see. Creations and renames are lost too while their directory was not
// synced. Thread-safe.
class FaultDisk final : public Disk {
 public:
  explicit FaultDisk(FaultEnv* env) : env_(*env) {}

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, bool create) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status SyncDirectory(const std::string& path) override;
  uint64_t FreeBytes(const std::string& path) override { return free_bytes_; }

  void SetFreeBytes(uint64_t bytes) { free_bytes_ = bytes; }
  void Cut(double keep);

 private:
  friend class FaultDiskFile;
  struct Content {
    std::string path;
    std::string synced;
  };
  struct Naming {
    std::string from;  // empty: made
    std::string to;
  };
  absl::Status Count();
  void CutFile(const Content& content, double keep) const;

  FaultEnv& env_;
  std::atomic<uint64_t> free_bytes_ = UINT64_MAX;
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<Content>> contents_ ABSL_GUARDED_BY(mutex_);
  std::vector<Naming> unsynced_names_ ABSL_GUARDED_BY(mutex_);
};

inline std::string MakeBlock(const std::vector<std::string>& records) {
  std::string block;
  for (const std::string& record : records) AppendRecord(record, &block);
  return block;
}

struct Received {
  uint32_t priority = 0;
  uint64_t sequence = 0;
  std::string record;
  bool operator==(const Received&) const = default;
};

class EngineFixture : public ::testing::Test {
 protected:
  EngineFixture() : metrics_(*Metrics::Create("")) { options_.data_dir = dir_ / "data"; }

  void Open() {
    engine_.reset();
    options_.clock = &clock_;
    auto engine = Engine::Create(options_, metrics_.get());
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }
  void Restart() { Open(); }

  // Runs `start(done)` and waits for the answer. With give_up_, not while the database is being reopened: the caller is
  // as wise then as after a power cut.
  template <typename T>
  absl::StatusOr<T> Await(const std::function<void(Engine::Done<T>)>& start) {
    struct Answer {
      absl::Notification given;
      absl::StatusOr<T> result;
    };
    const auto answer = std::make_shared<Answer>();
    start([answer](absl::StatusOr<T> result) {
      answer->result = std::move(result);
      answer->given.Notify();
    });
    while (!answer->given.WaitForNotificationWithTimeout(absl::Milliseconds(5))) {
      if (give_up_ && engine_->status().state == State::kReopening) return absl::UnavailableError("given up");
    }
    return std::move(answer->result);
  }
  absl::Status AwaitStatus(const std::function<void(Engine::DoneStatus)>& start) {
    return Await<bool>([&](Engine::Done<bool> done) {
             start([done = std::move(done)](absl::Status status) mutable {
               if (status.ok()) {
                 done(true);
               } else {
                 done(std::move(status));
               }
             });
           })
        .status();
  }

  static AppendJob Job(const std::string& queue, const std::vector<std::string>& records,
                       uint32_t priority = kDefaultPriority, int32_t ttl_seconds = 0) {
    auto block = std::make_shared<Block>();
    block->priority = priority;
    block->header.record_count = static_cast<uint32_t>(records.size());
    block->header.ttl_seconds = ttl_seconds;
    block->value = std::string(kBlockHeaderBytes, '\0') + MakeBlock(records);
    return {queue, block};
  }
  absl::StatusOr<uint64_t> Append(const std::string& queue, const std::vector<std::string>& records,
                                  uint32_t priority = kDefaultPriority, int32_t ttl_seconds = 0) {
    return Await<uint64_t>([&](Engine::Done<uint64_t> done) {
      engine_->Append(1, Job(queue, records, priority, ttl_seconds), /*wait=*/false, std::move(done));
    });
  }
  absl::StatusOr<Engine::PullStart> Register(const std::string& queue, const std::string& consumer) {
    return Await<Engine::PullStart>(
        [&](Engine::Done<Engine::PullStart> done) { engine_->OpenPull(queue, consumer, std::move(done)); });
  }
  absl::StatusOr<WriteResult> Write(WriteJob job) {
    return Await<WriteResult>([&](Engine::Done<WriteResult> done) { engine_->Write(std::move(job), std::move(done)); });
  }
  absl::Status Commit(const std::string& queue, const std::string& consumer, uint64_t sequence,
                      uint32_t priority = kDefaultPriority) {
    WriteJob job;
    job.commits.push_back({queue, consumer, {{.priority = priority, .sequence = sequence}}});
    return Write(std::move(job)).status();
  }
  absl::StatusOr<uint64_t> Put(const std::string& key, const std::string& value,
                               std::optional<uint64_t> expected = std::nullopt, uint64_t lease = 0) {
    WriteJob job;
    job.puts.push_back({key, value, expected, lease});
    auto result = Write(std::move(job));
    if (!result.ok()) return result.status();
    return result->revision;
  }
  absl::StatusOr<std::string> Get(const std::string& key) {
    auto value = engine_->database().Get(EntryKey(key));
    if (!value.ok()) return value.status();
    return engine_->encryption().OpenEntry(key, *value, *DecodeEntry(*value));
  }
  absl::Status Configure(const std::string& queue, std::optional<FullPolicy> policy, uint64_t bytes_max,
                         int32_t ttl_seconds) {
    return AwaitStatus(
        [&](Engine::DoneStatus done) { engine_->Configure(queue, policy, bytes_max, ttl_seconds, std::move(done)); });
  }

  struct QueueView {
    uint64_t records = 0, bytes = 0, next_sequence = 0, appended = 0;
    uint64_t expired = 0, full = 0, corrupt = 0, by_operator = 0;
    uint32_t waiting = 0;
    std::string incarnation;
    std::map<std::string, uint64_t> lag;
  };
  QueueView View(const std::string& name) {
    QueueView view;
    const absl::Status status = AwaitStatus([&](Engine::DoneStatus done) {
      engine_->ForEachQueue(
          name,
          [&view](Queue& queue, uint32_t waiting) {
            const QueueCounters& c = queue.counters();
            view = {queue.records(), queue.bytes(), c.next_sequence,          c.appended, c.expired, c.full, c.corrupt,
                    c.by_operator,   waiting,       queue.info().incarnation, {}};
            for (const auto& consumer : queue.consumers()) view.lag[consumer.name] = queue.LagRecords(consumer);
          },
          std::move(done));
    });
    EXPECT_TRUE(status.ok()) << status;
    return view;
  }

  // All that a new Pull of this consumer is given until it has caught up.
  std::vector<Received> Drain(const std::string& queue, const std::string& consumer) {
    std::vector<Received> received;
    auto start = Register(queue, consumer);
    EXPECT_TRUE(start.ok()) << start.status();
    if (!start.ok()) return received;
    PullCursor cursor(engine_->database(), engine_->encryption(), engine_->tail(), engine_->clock(), start->feed,
                      start->checkpoints);
    return Continue(cursor, start->feed->queue_id());
  }
  std::vector<Received> Continue(PullCursor& cursor, uint64_t queue_id) {
    std::vector<Received> received;
    while (true) {
      std::vector<Loss> losses;
      const PullCursor::Step step = cursor.Next(&losses);
      if (!losses.empty()) engine_->ReportLosses(queue_id, std::move(losses));
      if (step.block == nullptr && step.again) continue;
      if (step.block == nullptr) return received;
      BlockReader reader(step.block->records());
      uint64_t sequence = step.block->first_sequence;
      for (auto record = reader.Next(); record; record = reader.Next(), ++sequence) {
        if (sequence < step.block->first_sequence + step.skip) continue;
        received.push_back({step.block->priority, sequence, std::string(*record)});
      }
    }
  }
  static std::vector<std::string> Texts(const std::vector<Received>& received) {
    std::vector<std::string> texts;
    for (const Received& r : received) texts.push_back(r.record);
    return texts;
  }

  // Waits, with a limit, until `condition` holds; pokes the engine in between.
  bool Eventually(const std::function<bool()>& condition) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (!condition()) {
      if (absl::Now() > deadline) return false;
      engine_->Poke();
      absl::SleepFor(absl::Milliseconds(5));
    }
    return true;
  }

  TempDir dir_;
  ManualClock clock_;
  FaultEnv env_;
  std::unique_ptr<Metrics> metrics_;
  Engine::Options options_;
  std::unique_ptr<Engine> engine_;
  bool give_up_ = false;
};

}  // namespace holdfast::store
