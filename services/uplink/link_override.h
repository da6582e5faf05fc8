#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/clock.h"
#include "lib/base/metrics.h"
#include "lib/kv/key_watch.h"
#include "lib/rpc/channel.h"
#include "services/uplink/connectivity.h"

namespace holdfast::uplink {

// A uplink.v1.LinkOverride; absent: nothing is overridden.
inline constexpr char kOverrideKey[] = "uplink/override";

// What an operator says about the link (docs/decisions/0015-link-override.md): kept under a key of the store, so that
// every uplink knows it, after a restart too, and ended by the store's edge clock, so that neither a restart nor a
// wrong wall clock makes it longer (P7). Thread-safe.
class LinkOverride {
 public:
  struct Options {
    absl::Duration call_timeout = absl::Seconds(2);
  };
  struct State {
    LinkMode mode = LinkMode::kAuto;
    // By Clock::SinceBoot; infinite: never.
    absl::Duration ends_at = absl::InfiniteDuration();
    bool operator==(const State&) const = default;
  };
  using OnChange = std::function<void(const State&)>;

  // All must outlive it.
  LinkOverride(rpc::Channels* store, const Clock& clock, Metrics* metrics, Options options);
  ~LinkOverride() { Stop(); }

  // `on_change` is called on a thread of this, without a lock held: when it is known what is set, and whenever that
  // becomes another.
  void Start(OnChange on_change);
  // Idempotent.
  void Stop();

  // `lasts`: infinite: until the next call; not looked at for kAuto. Returns when it is in the store and, if that
  // takes no longer than call_timeout, told to on_change.
  absl::StatusOr<State> Set(LinkMode mode, absl::Duration lasts);

  // nullopt: not known yet.
  std::optional<State> state() const;

 private:
  // The key as it was seen last. Revision 0: it was not there.
  struct Seen {
    std::string value;
    uint64_t revision = 0;
  };

  void OnUpdate(const kv::KeyWatch::Update& update);
  void Run();
  // Does what is due: takes in what the key became, ends what is over.
  absl::Status Step();
  // What the key says now. Auto if its time is over.
  absl::StatusOr<State> Judge(const Seen& seen);
  void Enter(const State& state, uint64_t revision);
  absl::StatusOr<absl::Duration> EdgeClock();
  absl::StatusOr<uint64_t> Put(const std::string& value);
  // 0: there was none, or (with `expected`) it is another one by now.
  absl::StatusOr<uint64_t> Delete(std::optional<uint64_t> expected);

  rpc::Channels* const store_;
  const Clock& clock_;
  const Options options_;
  prometheus::Gauge& gauge_;
  OnChange on_change_;

  mutable absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool changed_ ABSL_GUARDED_BY(mutex_) = false;
  bool listed_ ABSL_GUARDED_BY(mutex_) = false;
  Seen seen_ ABSL_GUARDED_BY(mutex_);
  // Last revision of the key, put or deleted, that was told to on_change.
  uint64_t told_revision_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<State> state_ ABSL_GUARDED_BY(mutex_);
  // The thread's: a key whose time is over, to be deleted; 0: none.
  uint64_t over_ = 0;

  std::unique_ptr<kv::KeyWatch> watch_;
  std::thread thread_;
};

}  // namespace holdfast::uplink
