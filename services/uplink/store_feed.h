#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "holdfast/store/v1/store.pb.h"
#include "lib/rpc/channel.h"
#include "services/uplink/window.h"

namespace grpc {
class ClientContext;
}

namespace holdfast::uplink {

inline constexpr char kQueue[] = "upstream";
inline constexpr char kDeadQueue[] = "upstream/dead";
inline constexpr char kAddressKey[] = "uplink/last_address";

// Uplink's two hands on the store: one thread reads the queue "upstream" and stops reading when enough is held, one
// thread writes (checkpoints, dead letters, the last good address), one call at a time. Both try again, with back-off,
// until the store answers; so the store may be restarted at any time. Thread-safe.
class StoreFeed {
 public:
  // Called on the feed's threads, without a lock held; must not wait.
  struct Callbacks {
    std::function<void(Block)> on_block;
    // Checkpoint `number` is in the store, or can never be (the queue was deleted).
    std::function<void(uint64_t number, absl::Duration took)> on_committed;
    std::function<void(uint64_t number)> on_dead_letter_kept;
    // The address that worked last, as read from the store; once, when the store is first reached.
    std::function<void(std::string host_and_address)> on_address;
  };
  struct Options {
    // Bytes of blocks read and not yet given back by Release; one block more at most.
    uint64_t prefetch_bytes_max = 8 << 20;
    // For each call but the stream.
    absl::Duration call_timeout = absl::Seconds(10);
    // Puts the leader's fence on checkpoints and dead letters; empty = none.
    std::function<void(store::v1::Fence*)> fence;
  };

  // `channels` (to the store) must outlive it.
  StoreFeed(rpc::Channels* channels, Options options, Callbacks callbacks);
  // Stops.
  ~StoreFeed();

  void Start();
  // Ends the stream; a checkpoint that was handed in is given `grace` to be written.
  void Stop(absl::Duration grace = absl::Seconds(2));

  // Bytes of blocks that are done with.
  void Release(uint64_t bytes);
  // A checkpoint covers those before it: one that was not taken up yet is replaced, and its on_committed does not come.
  void Commit(Window::Checkpoint checkpoint);
  void KeepDeadLetter(Window::DeadLetter letter);
  void SaveAddress(std::string host_and_address);

  // Whether the stream from the store is open.
  bool streaming() const { return streaming_.load(std::memory_order_relaxed); }

 private:
  void ReadLoop();
  absl::Status Stream();
  absl::Status FindIncarnation();
  void WriteLoop();
  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void WriteCheckpoint(Window::Checkpoint checkpoint);
  void WriteDeadLetters(std::vector<Window::DeadLetter> letters);
  void ConfigureDeadQueue(const std::shared_ptr<grpc::Channel>& channel);
  void WriteAddress(const std::string& value);
  void LoadAddress();
  // Waits `d`, or until stopping.
  void Sleep(absl::Duration d);
  bool stopping() const;

  rpc::Channels* const channels_;
  const Options options_;
  const Callbacks callbacks_;

  mutable absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time write_until_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  uint64_t held_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  grpc::ClientContext* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::optional<Window::Checkpoint> checkpoint_ ABSL_GUARDED_BY(mutex_);
  std::deque<Window::DeadLetter> dead_letters_ ABSL_GUARDED_BY(mutex_);
  std::optional<std::string> address_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> streaming_ = false;

  // The reader's.
  std::string incarnation_;
  std::atomic<uint64_t> epoch_ = 0;
  // The writer's.
  bool address_loaded_ = false;
  bool dead_queue_ready_ = false;

  std::thread reader_;
  std::thread writer_;
};

}  // namespace holdfast::uplink
