// The twins in the store's key-value space (lib/twin/twin_record.h, key kTwinKeys): read, and changed by
// compare-and-set.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/clock.h"
#include "lib/iothub/user_name.h"
#include "lib/rpc/channel.h"
#include "lib/twin/twin_record.h"
#include "services/router/io_thread.h"

namespace holdfast::router {

// Calls do not wait for each other. A store that is away is waited for, within the time that the caller gives.
// Thread-safe.
class TwinStore {
 public:
  struct Stored {
    twin::TwinRecord record;
    // Of the record; 0 = there is none.
    uint64_t revision = 0;
  };
  using Got = std::function<void(absl::StatusOr<Stored>)>;
  // Changes the record, which may be a new one, and says what is to be appended to queues in the same batch. May be
  // called again, with what somebody else has put there meanwhile. An error ends it: nothing is changed.
  using Edit = std::function<absl::StatusOr<std::vector<store::v1::AppendRequest>>(Stored* stored)>;
  using Changed = std::function<void(absl::StatusOr<twin::TwinRecord>)>;

  // Callbacks and edits are run on `thread`. All must outlive it.
  TwinStore(rpc::Channels* store, const Clock* clock, IoThread* thread)
      : store_(*store), clock_(*clock), thread_(*thread) {}
  ~TwinStore() { Stop(); }

  // What is there, a record or none. `timeout` > 0. UNAVAILABLE: the store did not answer in time.
  void Get(const std::string& client_id, absl::Duration timeout, Got got);
  // Done when it is on disk. UNAVAILABLE: not within `timeout`; if the store was asked it may have it all the same.
  // INTERNAL: the store refuses it. Else what `edit` said.
  void Change(const std::string& client_id, absl::Duration timeout, Edit edit, Changed changed);
  // Deletes the twin of an identity, `with_modules`: those of its modules too. Tried for a while; what stays is logged.
  void Forget(const iothub::Identity& identity, bool with_modules);

  // Client ids and records in order, from behind `after` on, at most `limit`; *more = there are others. Blocks.
  absl::StatusOr<std::vector<std::pair<std::string, twin::TwinRecord>>> List(const std::string& after, uint32_t limit,
                                                                             absl::Duration timeout, bool* more);

  // Ends what is under way, and waits for that; nothing is called back that has not been already. Before the thread is
  // stopped. Idempotent.
  void Stop();

 private:
  struct GetOp;
  struct ChangeOp;
  struct ForgetOp;
  template <typename Request, typename Response>
  struct Call;

  // Calls back on the thread; not at all once it was stopped.
  template <typename Request, typename Response, typename Method>
  void Start(Method method, Request request, absl::Duration until,
             std::function<void(absl::Status, const Response&)> done);
  void GetOnce(std::shared_ptr<GetOp> op);
  void GetUntil(const std::string& client_id, absl::Duration until, Got got);
  void ReadToChange(std::shared_ptr<ChangeOp> op);
  void WriteChange(std::shared_ptr<ChangeOp> op, Stored stored);
  void ForgetOnce(std::shared_ptr<ForgetOp> op);
  // True: `again` is called after a while. False: the time is up.
  bool Retry(rpc::Backoff* backoff, absl::Duration until, std::function<void()> again);

  rpc::Channels& store_;
  const Clock& clock_;
  IoThread& thread_;
  absl::Mutex mutex_;
  absl::flat_hash_set<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace holdfast::router
