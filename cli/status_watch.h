#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cli/gateway.h"

namespace holdfast::cli {

// Tells when a look at the gateway is worth while: follows what the services stream (state of the link; who is there,
// by the store's keys), over their restarts. What they don't stream has to be looked at now and then. Thread-safe.
class StatusEvents {
 public:
  // `gateway` must outlive it.
  explicit StatusEvents(const Gateway& gateway);
  ~StatusEvents();
  StatusEvents(const StatusEvents&) = delete;
  StatusEvents& operator=(const StatusEvents&) = delete;

  // True when something happened since the last call, or happens within `timeout`.
  bool Wait(absl::Duration timeout);

 private:
  // One stream, to its end. The context may be cancelled by the destructor.
  using Stream = std::function<void(grpc::ClientContext*)>;

  void Follow(const Stream& stream);
  void FollowLink(grpc::ClientContext* context);
  void FollowPresence(grpc::ClientContext* context);
  void Happened();

  const Gateway& gateway_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool happened_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

// `text` as it fits a terminal of that size: its first `rows` lines, each cut to `columns` characters.
std::string FitScreen(const std::string& text, int columns, int rows);

// Shows what `look` gives until SIGINT or SIGTERM, which it must be the first to block: redrawn on a terminal;
// elsewhere, and with `lines`, one after the other. Again when something happened, at most four times a second, and
// each `interval`.
void WatchStatus(const Gateway& gateway, absl::Duration interval, bool lines, const std::function<std::string()>& look);

}  // namespace holdfast::cli
