#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "services/store/feed.h"

namespace holdfast::store {

// One thread on which everything that may read from disk runs, in the order asked for: streams take a turn each, so
// that no gRPC thread waits for a disk and no stream needs a thread. Thread-safe.
class ReadLoop {
 public:
  ReadLoop();
  // Finishes what was posted.
  ~ReadLoop();

  void Post(absl::AnyInvocable<void()> task);

 private:
  void Run();

  absl::Mutex mutex_;
  std::deque<absl::AnyInvocable<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// The pace of one outgoing stream: `step` is called on the read loop whenever there may be something to send and the
// message before has left; `close` once, at the end, when nothing is on its way any more. Thread-safe.
class Pump final : public Follower, public std::enable_shared_from_this<Pump> {
 public:
  enum class Outcome {
    kSent,   // a message is on its way: Sent() will be called
    kIdle,   // nothing to send: Wake() will be called
    kAgain,  // nothing to send yet: call again soon
    kDone,   // the stream is over: End() was called
  };
  using Step = absl::AnyInvocable<Outcome()>;
  using Close = absl::AnyInvocable<void(const absl::Status&)>;

  // `step` and `close` may use what lives until `close` was called.
  Pump(ReadLoop* loop, Step step, Close close) : loop_(loop), step_(std::move(step)), close_(std::move(close)) {}

  // Calls `body` on the read loop, unless the stream is over: until then what `step` and `close` use is alive.
  void IfOpen(absl::AnyInvocable<void()> body);

  // From now on `step` may be called.
  void Start();
  void Sent();
  void Wake() override;
  void End(const absl::Status& status) override;

 private:
  void Schedule() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Run();

  ReadLoop* const loop_;
  Step step_;    // only on the read loop
  Close close_;  // only on the read loop
  absl::Mutex mutex_;
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  bool scheduled_ ABSL_GUARDED_BY(mutex_) = false;
  bool sending_ ABSL_GUARDED_BY(mutex_) = false;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;  // since the last step began
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::store
