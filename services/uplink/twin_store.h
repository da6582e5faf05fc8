#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "holdfast/twin/v1/twin.pb.h"
#include "lib/rpc/channel.h"
#include "services/uplink/loop_calls.h"

namespace holdfast::uplink {

// Changes of twins' records in the store: reads one, changes it, and puts it back if nobody else changed it meanwhile;
// else begins anew, a bounded number of times. Not thread-safe: everything on the loop's thread.
class TwinStore {
 public:
  // Changes the record (empty if there is none). False: nothing to put. Called anew for each attempt; must not keep
  // what an attempt that did not hold has given.
  using Change = std::function<absl::StatusOr<bool>(twin::v1::TwinRecord* record)>;
  // `record`: as it is in the store now; only if the status is OK.
  using Done = std::function<void(const absl::Status& status, const twin::v1::TwinRecord& record)>;

  static constexpr int kAttemptsMax = 10;

  // Both must outlive it.
  TwinStore(rpc::Channels* store, LoopCalls* calls) : store_(store), calls_(calls) {}

  // The status: the store's; or the change's; or ABORTED after kAttemptsMax. `done` never comes after LoopCalls::Stop.
  void Apply(const std::string& client_id, Change change, Done done);

 private:
  struct Operation;

  void Read(const std::shared_ptr<Operation>& operation);
  void Write(const std::shared_ptr<Operation>& operation, uint64_t revision);

  rpc::Channels* const store_;
  LoopCalls* const calls_;
};

}  // namespace holdfast::uplink
