#include "services/router/session_keeper.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "absl/time/clock.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

// Keys in one request; the store takes 1,000 parts.
constexpr size_t kKeysMax = 500;
// For what is waiting to be written at a stop.
constexpr absl::Duration kStopGrace = absl::Seconds(1);
constexpr absl::Duration kRetryMin = absl::Milliseconds(20);
constexpr absl::Duration kRetryMax = absl::Seconds(1);

std::string Key(std::string_view prefix, std::string_view client_id) {
  return fmt::format("{}{}", prefix, client_id);
}

size_t Parts(const store::v1::WriteRequest& request) {
  return static_cast<size_t>(request.puts_size() + request.deletes_size());
}

}  // namespace

SessionKeeper::SessionKeeper(rpc::Channels* store, const Clock* clock, absl::Duration checkpoint_interval,
                             SessionStore::Options options)
    : clock_(*clock),
      checkpoint_interval_(checkpoint_interval),
      store_(store, std::move(options)),
      last_checkpoint_(absl::Now()) {}

void SessionKeeper::Start(std::vector<TakeSnapshot> snapshots,
                          std::function<void(std::vector<KeptSession>)> on_loaded) {
  snapshots_ = std::move(snapshots);
  on_loaded_ = std::move(on_loaded);
  thread_ = std::thread([this] { Run(); });
}

void SessionKeeper::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    if (loaded_) {
      mutex_.AwaitWithTimeout(absl::Condition(
                                  +[](StringMap<Pending>* pending) { return pending->empty(); }, &pending_),
                              kStopGrace);
    }
    stopped_ = true;
  }
  store_.Cancel();
  if (thread_.joinable()) thread_.join();
}

uint64_t SessionKeeper::EdgeMs() const {
  return static_cast<uint64_t>(absl::ToInt64Milliseconds(clock_.SinceBoot()) + edge_offset_ms_.load());
}

void SessionKeeper::Enqueue(std::string key, Pending pending) {
  Pending& place = pending_[std::move(key)];
  place.value = std::move(pending.value);
  for (auto& done : pending.done) place.done.push_back(std::move(done));
}

void SessionKeeper::Save(const std::string& client_id, const v1::StoredSession& session, std::function<void()> done) {
  Pending pending{.value = session.SerializeAsString()};
  if (done) pending.done.push_back(std::move(done));
  absl::MutexLock lock(&mutex_);
  Enqueue(Key(kSessionKeys, client_id), std::move(pending));
}

void SessionKeeper::Remove(const std::string& client_id) {
  absl::MutexLock lock(&mutex_);
  Enqueue(Key(kSessionKeys, client_id), Pending());
  Enqueue(Key(kWindowKeys, client_id), Pending());
}

void SessionKeeper::Committed(size_t bytes) {
  const size_t before = committed_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  if (before < kCheckpointBytes && before + bytes >= kCheckpointBytes) Hurry();
}

void SessionKeeper::Hurry() {
  absl::MutexLock lock(&mutex_);
  hurry_ = true;
}

bool SessionKeeper::Sleep(absl::Duration time) {
  absl::MutexLock lock(&mutex_);
  return !mutex_.AwaitWithTimeout(absl::Condition(&stopped_), time);
}

bool SessionKeeper::Load() {
  rpc::Backoff backoff(kRetryMin, kRetryMax);
  std::string last_error;
  while (true) {
    absl::StatusOr<SessionStore::Loaded> loaded = store_.Load();
    if (loaded.ok()) {
      edge_offset_ms_ = static_cast<int64_t>(loaded->edge_ms) - absl::ToInt64Milliseconds(clock_.SinceBoot());
      spdlog::info("sessions loaded clients={} expired_keys={}", loaded->sessions.size(), loaded->expired_keys.size());
      {
        absl::MutexLock lock(&mutex_);
        for (std::string& key : loaded->expired_keys) Enqueue(std::move(key), Pending());
        loaded_ = true;
      }
      on_loaded_(std::move(loaded->sessions));
      return true;
    }
    const std::string error = Text(loaded.status());
    if (error != last_error) spdlog::warn("sessions can't be loaded from the store, trying on reason=\"{}\"", error);
    last_error = error;
    if (!Sleep(backoff.Next())) return false;
  }
}

bool SessionKeeper::CheckpointDue() {
  if (committed_bytes_.load(std::memory_order_relaxed) == 0 && !hurry_) return false;
  const absl::Duration since = absl::Now() - last_checkpoint_;
  // A clock that was set back is no reason to wait.
  return since < absl::ZeroDuration() || since >= (hurry_ ? kCheckpointIntervalMin : checkpoint_interval_);
}

void SessionKeeper::Run() {
  if (!Load()) return;
  while (true) {
    bool due = false;
    bool hurry = false;
    {
      absl::MutexLock lock(&mutex_);
      const auto something = [this]()
                                 ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopped_ || hurry_ || !pending_.empty(); };
      mutex_.AwaitWithTimeout(absl::Condition(&something), checkpoint_interval_);
      if (stopped_) return;
      due = CheckpointDue();
      hurry = hurry_;
    }
    WritePending();
    if (due) Checkpoint();
    if (hurry && !due && !Sleep(kCheckpointIntervalMin)) return;
  }
}

bool SessionKeeper::Write(const store::v1::WriteRequest& request) {
  rpc::Backoff backoff(kRetryMin, kRetryMax);
  while (true) {
    const absl::Status status = store_.Write(request);
    if (status.ok()) return true;
    if (!Sleep(absl::ZeroDuration())) return false;
    // No room for keys must not hold the queue back: what can't be written is let go.
    if (!rpc::IsTransient(status)) {
      spdlog::error("session state can't be written, it will not survive a restart keys={} reason=\"{}\"",
                    Parts(request), Text(status));
      return false;
    }
    if (!Sleep(backoff.Next())) return false;
  }
}

void SessionKeeper::WritePending() {
  StringMap<Pending> pending;
  {
    absl::MutexLock lock(&mutex_);
    pending.swap(pending_);
  }
  store::v1::WriteRequest request;
  std::vector<std::function<void()>> done;
  const auto write = [&] {
    if (Parts(request) == 0) return;
    Write(request);
    request.Clear();
    for (const auto& call : done) call();
    done.clear();
  };
  for (auto& [key, change] : pending) {
    if (change.value.has_value()) {
      store::v1::PutRequest* const put = request.add_puts();
      put->set_key(key);
      put->set_value(*std::move(change.value));
    } else {
      request.add_deletes()->set_key(key);
    }
    std::move(change.done.begin(), change.done.end(), std::back_inserter(done));
    if (Parts(request) >= kKeysMax) write();
  }
  write();
}

bool SessionKeeper::Collect(std::vector<Snapshot>* snapshots) {
  struct Shared {
    absl::Mutex mutex;
    std::vector<Snapshot> arrived ABSL_GUARDED_BY(mutex);
  };
  const auto shared = std::make_shared<Shared>();
  for (const TakeSnapshot& take : snapshots_) {
    take([shared](Snapshot snapshot) {
      absl::MutexLock lock(&shared->mutex);
      shared->arrived.push_back(std::move(snapshot));
    });
  }
  while (true) {
    {
      const auto all = [&]() ABSL_SHARED_LOCKS_REQUIRED(shared->mutex) {
        return shared->arrived.size() == snapshots_.size();
      };
      absl::MutexLock lock(&shared->mutex);
      if (shared->mutex.AwaitWithTimeout(absl::Condition(&all), kCheckpointIntervalMin)) {
        snapshots->swap(shared->arrived);
        return true;
      }
    }
    // A thread that has ended does not answer.
    if (!Sleep(absl::ZeroDuration())) return false;
  }
}

// A record is passed when its thread has been told of its commit, or it lies in front of all that any thread waits for;
// and the windows, taken after that, know it. So: first the end of each queue, then the windows, then what is settled.
void SessionKeeper::Checkpoint() {
  {
    absl::MutexLock lock(&mutex_);
    last_checkpoint_ = absl::Now();
    hurry_ = false;
  }
  const size_t bytes = committed_bytes_.exchange(0, std::memory_order_relaxed);
  const auto queues = store_.Queues();
  std::vector<Snapshot> snapshots;
  if (!queues.ok() || !Collect(&snapshots)) {
    committed_bytes_.fetch_add(bytes, std::memory_order_relaxed);  // The next time.
    return;
  }
  store::v1::WriteRequest request;
  for (Snapshot& snapshot : snapshots) {
    for (const auto& [client_id, window] : snapshot.windows) {
      store::v1::PutRequest* const put = request.add_puts();
      put->set_key(Key(kWindowKeys, client_id));
      put->set_value(window.SerializeAsString());
      if (Parts(request) < kKeysMax) continue;
      Write(request);
      request.Clear();
    }
  }
  if (Parts(request) > 0) Write(request);
  request.Clear();
  for (const SessionStore::QueueState& queue : *queues) {
    uint64_t position = queue.next_sequence - 1;
    for (const Snapshot& snapshot : snapshots) {
      for (const auto& [name, sequence] : snapshot.settled) {
        if (name == queue.name) position = std::min(position, sequence);
      }
    }
    uint64_t& passed = passed_[queue.name];
    if (position <= passed) continue;
    passed = position;
    store::v1::CommitRequest* const commit = request.add_commits();
    commit->set_queue(queue.name);
    commit->set_consumer(std::string(kSessionConsumer));
    for (const uint32_t priority : queue.priorities) {
      store::v1::Position* const to = commit->add_positions();
      to->set_priority(priority);
      to->set_sequence(position);
    }
  }
  if (request.commits_size() == 0 || Write(request) || !Sleep(absl::ZeroDuration())) return;
  // The consumer may be gone (an operator's DeleteConsumer), or the queue another one of the same name.
  passed_.clear();
  for (const SessionStore::QueueState& queue : *queues) {
    if (const absl::Status status = store_.Register(queue.name); !status.ok()) {
      spdlog::warn("consumer can't be registered queue={} reason=\"{}\"", queue.name, Text(status));
    }
  }
}

}  // namespace holdfast::router
