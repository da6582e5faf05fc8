#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "holdfast/store/v1/store.pb.h"
#include "lib/base/clock.h"
#include "lib/base/metrics.h"
#include "lib/base/string_map.h"
#include "lib/rpc/channel.h"
#include "services/uplink/c2d_queue.h"
#include "services/uplink/loop_calls.h"

namespace boost::asio {
class io_context;
}

namespace holdfast::uplink {

// Brings what the hub sends for devices into the store, each device's into its inbox (lib/record/queue_names.h), and
// says when a message may be acknowledged to the hub: when it is on disk (P1). A full or absent store is tried again
// until it takes the message; meanwhile the hub keeps what comes behind. Not thread-safe: everything on the loop's
// thread.
class C2dInbox {
 public:
  struct Options {
    // Bytes of messages that the store does not have yet, over all devices.
    size_t bytes_max = 16 << 20;
    absl::Duration call_timeout = absl::Seconds(10);
    absl::Duration backoff_min = absl::Milliseconds(200);
    absl::Duration backoff_max = absl::Seconds(5);
    // Puts the leader's fence on what is stored; empty = none.
    std::function<void(store::v1::Fence*)> fence;
  };
  // Larger ones are not the contract's (IoT Hub contract: cloud-to-device).
  static constexpr size_t kBodyBytesMax = 64 << 10;

  class Connection {
   public:
    virtual ~Connection() = default;
    virtual void Acknowledge(uint16_t packet_id) = 0;
    // Messages were left at the hub: a new connection brings them.
    virtual void RenewForMessages() = 0;
  };

  // All must outlive it.
  C2dInbox(Options options, rpc::Channels* store, LoopCalls* calls, Metrics* metrics, const Clock& clock,
           boost::asio::io_context& io);
  ~C2dInbox();

  // The device has a connection, and no more. `connection` must live until then.
  void OnOpened(const std::string& device, Connection* connection);
  void OnClosed(const std::string& device);
  // A message came on it, not acknowledged yet. `packet_id` 0: QoS 0, which nobody waits for.
  void OnMessage(const std::string& device, uint16_t packet_id, std::string_view bag, std::string_view body);

  // Nothing of the device waits to be stored or acknowledged.
  bool empty(const std::string& device) const;

 private:
  struct Counters;
  struct Device;

  CloudMessage Read(const std::string& device, uint16_t packet_id, std::string_view bag, std::string_view body);
  template <typename F>
  void Apply(const std::string& device, F change);
  void Do(const std::string& device, C2dQueue::Actions actions);
  void Store(const std::string& device, const CloudMessage& message);
  void OnStored(const std::string& device, const absl::Status& status);
  void Forget();
  absl::Duration Now() const { return clock_.SinceBoot(); }

  const Options options_;
  rpc::Channels* const store_;
  LoopCalls* const calls_;
  const Clock& clock_;
  boost::asio::io_context& io_;
  const std::unique_ptr<Counters> counters_;
  StringMap<std::unique_ptr<Device>> devices_;
  size_t bytes_ = 0;
};

}  // namespace holdfast::uplink
