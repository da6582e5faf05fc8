#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "lib/base/metrics.h"
#include "lib/rpc/channel.h"
#include "services/uplink/loop_calls.h"

namespace holdfast::uplink {

// Direct methods that the hub calls on clients of this gateway: passed to router, which knows where the client is.
// Not thread-safe: everything on the loop's thread.
class HubMethodCalls {
 public:
  struct Options {
    // Under way at once; beyond, a call is answered 429.
    size_t calls_max = 256;
    // For the client's answer. The hub waits for as long as its caller said, which it does not tell: so the longest
    // that the contract allows.
    absl::Duration response_timeout = absl::Seconds(300);
  };
  // `status`: the client's own, or one of HubMethodStatus with an error in JSON.
  using Done = std::function<void(int status, std::string payload)>;

  // All must outlive it.
  HubMethodCalls(Options options, rpc::Channels* router, LoopCalls* calls, Metrics* metrics);
  ~HubMethodCalls();

  // `client`: "device" or "device/module". Returns what Cancel wants; 0 if `done` was called already.
  LoopCalls::CallId Invoke(const std::string& client, std::string_view method, std::string_view payload, Done done);
  // Nobody waits for the answer any more. `done` is called all the same.
  void Cancel(LoopCalls::CallId call) { calls_->Cancel(call); }

 private:
  struct Counters;

  const Options options_;
  rpc::Channels* const router_;
  LoopCalls* const calls_;
  const std::unique_ptr<Counters> counters_;
  size_t active_ = 0;
};

// What the hub is answered when the client did not answer (holdfast.router.v1.Methods names the codes).
int HubMethodStatus(const absl::Status& status);

}  // namespace holdfast::uplink
