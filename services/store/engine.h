#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/metrics.h"
#include "services/store/catalog.h"
#include "services/store/database.h"
#include "services/store/edge_clock.h"
#include "services/store/encryption.h"
#include "services/store/engine_metrics.h"
#include "services/store/key_value.h"
#include "services/store/leases.h"
#include "services/store/resealing.h"
#include "services/store/tail_cache.h"
#include "services/store/transaction.h"
#include "services/store/watch_hub.h"

namespace holdfast::store {

enum class State { kServing, kFull, kReopening };

// One block to append.
struct AppendJob {
  std::string queue;
  // With room for the header in front, and the ttl and the number of records in it; the rest of the header is filled in
  // by the commit.
  std::shared_ptr<Block> block;
  std::optional<Fence> fence;  // not used as a part of WriteJob
};

// A part of Engine::Write.
struct CommitJob {
  std::string queue;
  std::string consumer;
  std::vector<Checkpoint> positions;  // passed_records is not used
};
struct PutJob {
  std::string key;
  std::string value;
  std::optional<uint64_t> expected_revision;
  uint64_t lease_id = 0;
};
struct DeleteJob {
  std::string key;
  std::optional<uint64_t> expected_revision;
};
struct WriteJob {
  std::vector<AppendJob> appends;
  std::vector<CommitJob> commits;
  std::vector<PutJob> puts;
  std::vector<DeleteJob> deletes;
  std::vector<Fence> fences;
};
struct WriteResult {
  std::vector<uint64_t> first_sequences;
  uint64_t revision = 0;
  bool deleted = false;  // true if any key was deleted
};

// The store's one writer. Everything that changes state is an operation in one line, and one thread drains that line:
// it plans all that waits into one batch, writes it with one fsync, and only then answers and shows it to readers.
// While a batch is on its way the next one grows. When a write fails its effect is unknown: nothing more is written,
// the database is reopened until that works, the disk tells whether the batch is there (batches are numbered), and then
// the operations of that batch are answered or planned again, so that each takes effect once. Thread-safe; callbacks
// run on the writer's thread and must not wait.
class Engine {
 public:
  struct Options {
    std::string data_dir;
    uint64_t queue_bytes_max = 4ull << 30;
    uint64_t total_bytes_max = 16ull << 30;
    uint64_t free_space_floor_bytes = 256ull << 20;
    uint64_t key_value_bytes_max = 256ull << 20;
    int32_t ttl_seconds = 7200;
    size_t tail_cache_bytes = 16 << 20;
    size_t watch_history_bytes = 2 << 20;
    std::string encryption_key_file;  // empty = what is written is not encrypted
    Database::Options database;       // directory and damaged_directory are set from data_dir
    Clock* clock = nullptr;           // null = the machine's
    // Bytes free on the disk of data_dir; null = statvfs(3).
    std::function<uint64_t()> free_bytes;
  };

  template <typename T>
  using Done = absl::AnyInvocable<void(absl::StatusOr<T>)>;
  using DoneStatus = absl::AnyInvocable<void(absl::Status)>;

  // Opens the data directory. `metrics` must outlive the engine.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(Options options, Metrics* metrics);
  // Finishes what was submitted and closes the database; what is held for want of room is answered UNAVAILABLE.
  ~Engine();

  // Gives the first sequence. With `wait`: held while there is no room, in order for the same stream and queue.
  // `stream_id` from NewStreamId().
  void Append(uint64_t stream_id, AppendJob job, bool wait, Done<uint64_t> done);
  // Answers `status` in the order of the appends around it.
  void Refuse(absl::Status status, DoneStatus done);
  uint64_t NewStreamId() { return next_stream_id_++; }
  // Drops what is held for a stream that is gone (its callbacks are called with CANCELLED).
  void ForgetStream(uint64_t stream_id);

  // All or nothing.
  void Write(WriteJob job, Done<WriteResult> done);

  struct PullStart {
    std::shared_ptr<Feed> feed;
    std::vector<Checkpoint> checkpoints;
    std::string incarnation;
  };
  // Makes queue and consumer if needed.
  void OpenPull(std::string queue, std::string consumer, Done<PullStart> done);
  // What a reader found missing or expired. Ordered before any later Commit.
  void ReportLosses(uint64_t queue_id, std::vector<Loss> losses);

  // `settings`: nullopt policy = leave it.
  void Configure(std::string queue, std::optional<FullPolicy> policy, uint64_t bytes_max, int32_t ttl_seconds,
                 DoneStatus done);
  void Purge(std::string queue, std::optional<uint32_t> priority, Done<uint64_t> done);
  void DeleteQueue(std::string queue, DoneStatus done);
  void DeleteConsumer(std::string queue, std::string consumer, DoneStatus done);
  // Calls `visit` on the writer's thread for each queue whose name starts with `prefix`, then `done`.
  using Visit = absl::AnyInvocable<void(Queue&, uint32_t waiting_appends)>;
  void ForEachQueue(std::string prefix, Visit visit, DoneStatus done);
  // The same for names behind `after` (empty = all), until `visit` returns false.
  using VisitWhile = absl::AnyInvocable<bool(Queue&, uint32_t waiting_appends)>;
  void WalkQueues(std::string prefix, std::string after, VisitWhile visit, DoneStatus done);

  void GrantLease(uint64_t ttl_ms, Done<uint64_t> done);
  void KeepLease(uint64_t lease_id, Done<uint64_t> done);
  void RevokeLease(uint64_t lease_id, DoneStatus done);

  struct Status {
    State state = State::kServing;
    std::string reason;
    uint64_t bytes = 0;
    uint64_t free_bytes = 0;
    uint64_t corrupt_records = 0;
    std::vector<KeyUse> key_uses;
  };
  Status status() const;
  const Options& options() const { return options_; }
  const std::string& store_id() const { return store_id_; }

  // Called when the store starts or stops accepting writes; at most once at a time, on the writer's thread.
  void OnWritable(std::function<void(bool)> callback);

  Database& database() { return *database_; }
  const Encryption& encryption() const { return encryption_; }
  const TailCache& tail() const { return tail_; }
  EdgeClock& clock() { return *clock_; }
  WatchHub& watch_hub() { return watch_hub_; }
  // Ends all Pull and Watch streams; later ones are refused.
  void EndStreams(const absl::Status& status);
  bool streams_ended() const;

  // Makes the writer look at the time and at free space now, instead of at its next tick. For tests that move a clock.
  void Poke();

 private:
  struct Operation {
    // Adds to the transaction; an error means that it added nothing. May be called again after a failed group.
    absl::AnyInvocable<absl::Status(Transaction&)> plan;
    DoneStatus done;
    size_t bytes = 0;
    absl::Time submitted;
    // For appends.
    std::string queue;
    uint64_t stream_id = 0;
    bool wait = false;
    bool reads_only = false;  // also while the database is being reopened
    absl::Status planned;
  };
  using Group = std::vector<Operation>;

  Engine(Options options, Metrics* metrics);
  absl::Status Open();
  void Submit(Operation operation);

  // The writer's thread.
  void Loop();
  Group TakeGroup(absl::Time wake_at);
  absl::Time NextWake();
  Transaction Begin();
  void RunGroup(Group group);
  void PlanAll(Group& group, Transaction& tx);
  absl::Status WriteOut(Transaction& tx);
  void Publish(Transaction& tx);
  void Complete(Group& group);
  void Tick();
  void RetryHeld();

  // After a failed write.
  void StartReopening(Group group, Transaction tx, const absl::Status& error);
  void TryReopen();
  void AnswerWhileReopening(Group group);

  absl::Status PlanAppend(Transaction& tx, Operation& operation, const AppendJob& job, uint64_t* first_sequence);
  absl::Status PlanWrite(Transaction& tx, const WriteJob& job, WriteResult* result);
  absl::Status CheckWrite(Transaction& tx, const WriteJob& job);
  absl::Status MakeRoom(Transaction& tx, Queue& queue, uint64_t bytes);
  uint64_t BytesMax(const Queue& queue) const;
  bool DiskIsLow();
  void RefreshState();

  const Options options_;
  EngineMetrics metrics_;
  std::string store_id_;
  std::unique_ptr<Database> database_;
  Encryption encryption_;  // constant once the writer's thread runs
  std::unique_ptr<EdgeClock> clock_;
  TailCache tail_;
  WatchHub watch_hub_;
  std::atomic<uint64_t> next_stream_id_ = 1;

  // Only on the writer's thread, once it runs.
  std::unique_ptr<Catalog> catalog_;
  Leases leases_;
  std::unique_ptr<KeyValue> key_value_;
  std::unique_ptr<Resealing> resealing_;
  std::deque<Operation> held_;  // appends that wait for room, in order of arrival
  absl::Time next_tick_ = absl::InfinitePast();
  absl::Time free_bytes_checked_ = absl::InfinitePast();
  uint64_t free_bytes_ = UINT64_MAX;
  Operation* planning_ = nullptr;
  bool hold_ = false;  // set by a plan: this operation waits for room
  struct Failed {
    Group group;
    Transaction tx;
    uint64_t number = 0;
    absl::Status error;
    absl::Duration backoff;
    absl::Time retry_at;
  };
  std::optional<Failed> failed_;
  absl::Duration reopen_backoff_;

  mutable absl::Mutex mutex_;
  std::deque<Operation> inbox_ ABSL_GUARDED_BY(mutex_);
  bool poked_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool streams_ended_ ABSL_GUARDED_BY(mutex_) = false;
  Status status_ ABSL_GUARDED_BY(mutex_);
  std::function<void(bool)> on_writable_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace holdfast::store
