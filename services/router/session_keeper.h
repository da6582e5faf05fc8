// Keeps MQTT sessions across restarts of router (docs/decisions/0006-sessions-beside-the-queue.md).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "holdfast/router/v1/stored.pb.h"
#include "lib/base/clock.h"
#include "services/router/session_store.h"

namespace holdfast::router {

// A checkpoint of the windows is written when so much time has passed, or so much was committed, since the last one. So
// much is read at a start, and held back in the queue after the hub has it.
// (The time is [router] session_checkpoint_interval.)
inline constexpr size_t kCheckpointBytes = 8 << 20;
// But not more often than this, when appends wait for room.
inline constexpr absl::Duration kCheckpointIntervalMin = absl::Milliseconds(50);
// Messages of a client that are recognised beyond those that are still in the queue.
inline constexpr size_t kStoredWindowMax = 128;

// What outlives a connection: subscriptions, and which messages of a client are stored, so that a PUBLISH that is sent
// again is recognised after a restart too (P3). The former is written when it changes. The latter is in the records of
// the queue themselves; the keeper is a consumer of it, and writes down what they say of each client before it passes
// them. Thread-safe.
class SessionKeeper {
 public:
  // What one io thread tells.
  struct Snapshot {
    // Windows that changed since the last time, by client id; committed messages only.
    std::vector<std::pair<std::string, v1::StoredWindow>> windows;
    // AppendBatcher::Settled, taken with them.
    std::vector<std::pair<std::string, uint64_t>> settled;
  };
  using TakeSnapshot = std::function<void(std::function<void(Snapshot)>)>;

  // All must outlive it.
  SessionKeeper(rpc::Channels* store, const Clock* clock, absl::Duration checkpoint_interval,
                SessionStore::Options options);
  ~SessionKeeper() { Stop(); }

  // Loads what is kept, for as long as it takes, and gives it to `on_loaded`, on a thread of its own. `snapshots`: one
  // for each io thread; each answers once, from any thread.
  void Start(std::vector<TakeSnapshot> snapshots, std::function<void(std::vector<KeptSession>)> on_loaded);
  // Gives what is waiting a second to be written. Nothing is called after it.
  void Stop();

  // `done` comes when it is on disk, on a thread of its own. Of one client, the latest call counts.
  void Save(const std::string& client_id, const v1::StoredSession& session, std::function<void()> done);
  // The session and its window.
  void Remove(const std::string& client_id);

  // So many bytes of messages are on disk.
  void Committed(size_t bytes);
  // Appends wait: maybe for what this holds back.
  void Hurry();

  // The store's edge clock, as it goes on from what it was at the load.
  uint64_t EdgeMs() const;

 private:
  struct Pending {
    std::optional<std::string> value;  // none = delete
    std::vector<std::function<void()>> done;
  };

  void Run();
  bool Load();
  void Enqueue(std::string key, Pending pending) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool CheckpointDue() ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // All that is waiting.
  void WritePending();
  void Checkpoint();
  // False: stopped.
  bool Collect(std::vector<Snapshot>* snapshots);
  // Tries until it is written or can't be. False: stopped, or refused.
  bool Write(const store::v1::WriteRequest& request);
  // False if stopped.
  bool Sleep(absl::Duration time);

  const Clock& clock_;
  const absl::Duration checkpoint_interval_;
  SessionStore store_;
  std::vector<TakeSnapshot> snapshots_;
  std::function<void(std::vector<KeptSession>)> on_loaded_;
  std::thread thread_;
  std::atomic<int64_t> edge_offset_ms_ = 0;
  std::atomic<size_t> committed_bytes_ = 0;
  // On the thread only: the last position passed, by queue.
  StringMap<uint64_t> passed_;

  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool loaded_ ABSL_GUARDED_BY(mutex_) = false;
  bool hurry_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time last_checkpoint_ ABSL_GUARDED_BY(mutex_);
  // By key.
  StringMap<Pending> pending_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::router
