#pragma once

#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "lib/base/string_map.h"
#include "lib/iothub/user_name.h"
#include "lib/rpc/channel.h"
#include "services/uplink/scope_client.h"
#include "services/uplink/scope_walk.h"

namespace holdfast::uplink {

class SyncStream;
class WantedStreams;

// What the hub says of one identity.
enum class Verdict : uint8_t {
  kPresent,
  kDisabled,
  kGone,     // 400, 401, 403, 404: removed, or not this gateway's child
  kUnknown,  // the hub did not say
};

// Brings the hub's device scope to auth: a snapshot whenever the link came up, every refresh_interval and on request;
// single identities when a client or the hub makes one doubtful. Pages are sealed for auth as they come; a page that
// fails ends the snapshot, and nothing changes. One thread does all of it; a single identity is asked for between two
// pages of a snapshot. Thread-safe.
class ScopeSync {
 public:
  struct Options {
    RestClient::Options rest;
    ScopeApi api = ScopeApi::kNested;
    uint32_t page_size = 10;
    absl::Duration refresh_interval = absl::Hours(1);
    // Retries of a call, and of a snapshot that failed; full jitter.
    absl::Duration call_backoff = absl::Seconds(1);
    absl::Duration backoff_min = absl::Seconds(5);
    absl::Duration backoff_max = absl::Minutes(5);
    // For auth to take the snapshot in.
    absl::Duration auth_timeout = absl::Minutes(2);
  };

  struct Counts {
    uint32_t added = 0;
    uint32_t changed = 0;
    uint32_t removed = 0;
    uint32_t unchanged = 0;
    uint32_t known() const { return added + changed + unchanged; }
  };

  // What UplinkStatus tells.
  struct Status {
    // The last snapshot that auth took.
    absl::Time last_sync = absl::InfinitePast();
    absl::Duration last_sync_took;
    Counts counts;
    // Why the last attempt at one failed; empty if it did not.
    std::string last_error;
    bool syncing = false;
    uint64_t snapshots = 0;
    uint64_t failures = 0;
  };

  // Called on the sync's thread, without a lock held.
  struct Callbacks {
    // A snapshot, or the last attempt at one for now, has ended. `parents`: as ScopeWalk::TakeParents.
    std::function<void(const absl::Status&, StringMap<std::string> parents)> on_snapshot;
    std::function<void(const std::string& identity, Verdict verdict)> on_verdict;
    // By device, for those below child gateways, the gateways between: what auth has kept of them, once after the
    // start, before the first snapshot; and again when a single identity turned up below one.
    std::function<void(StringMap<std::string> parents)> on_parents;
  };
  // Called on the sync's thread, once.
  using Done = std::function<void(const absl::StatusOr<Counts>&)>;

  // `auth` must outlive it.
  ScopeSync(rpc::Channels* auth, Options options, Callbacks callbacks);
  ~ScopeSync();

  void Start();
  // Breaks off what is under way. Does not wait.
  void BeginStop();
  void Stop();

  // The gateway's device id, and the Authorization header of its requests (empty: a certificate).
  void SetGateway(const std::string& device_id, const std::string& authorization);
  // The link came up, or went down; a call under way is broken off then. `snapshot`: make one now.
  void SetOnline(bool online, bool snapshot);
  // A snapshot on request; those that wait for the same one share it.
  void Request(Done done);
  // Asks the hub for these now, tells auth, and calls on_verdict for each. Beyond 1,000 waiting: dropped, since the
  // next snapshot brings them.
  void Refresh(const std::vector<iothub::Identity>& identities);

  Status status() const;

 private:
  struct Single {
    iothub::Identity identity;
    std::string gateways;                    // as JoinGateways: what a child gateway said; empty: nothing
    std::shared_ptr<grpc::Channel> channel;  // of the auth that asked; null: any
  };
  struct Found {
    Verdict verdict = Verdict::kUnknown;
    std::string body;  // if it is there
    bool is_gateway = false;
  };

  void Run();
  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void Want(Single single);
  void RunSnapshot();
  absl::StatusOr<Counts> Snapshot(StringMap<std::string>* parents);
  absl::Status WalkPages(ScopeWalk* walk, SyncStream* stream);
  // The next page's text, nullopt at the walk's end. Keys are in it.
  absl::StatusOr<std::optional<std::string>> NextPage(ScopeWalk* walk);
  void WalkBelow(const std::string& gateway, std::initializer_list<SyncStream*> streams);
  void AnswerSingles(SyncStream* snapshot);
  Found Find(const Single& single);
  Found FindBy(const iothub::Identity& identity, const std::string& parents);
  bool IsGoneBelow(const std::string& device);
  void LoadParents();
  ScopeOptions Scope() const;

  rpc::Channels* const auth_;
  const Options options_;
  const Callbacks callbacks_;
  ScopeClient client_;
  rpc::Backoff backoff_;
  // The thread's: the shape that the hub knows; singles that it found gone while a snapshot was under way.
  ScopeApi api_;
  std::vector<Single> gone_meanwhile_;
  StringMap<std::string> parents_;
  // This one, and those below it whose children have been asked for.
  StringSet gateways_;
  // Devices of parents_ that the hub did not find there: believed once there were more snapshots than this.
  StringMap<uint64_t> doubted_;

  mutable absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool online_ ABSL_GUARDED_BY(mutex_) = false;
  std::string gateway_ ABSL_GUARDED_BY(mutex_);
  // When the next snapshot is due, by absl::Now(); only while online.
  absl::Time due_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::vector<Done> requests_ ABSL_GUARDED_BY(mutex_);
  std::deque<Single> singles_ ABSL_GUARDED_BY(mutex_);
  Status status_ ABSL_GUARDED_BY(mutex_);

  const std::unique_ptr<WantedStreams> wanted_;
  std::thread thread_;
};

}  // namespace holdfast::uplink
