#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace holdfast::demo {

struct Totals {
  uint64_t sent = 0;          // different messages that devices published
  uint64_t acknowledged = 0;  // of these, acknowledged to the device
  uint64_t delivered = 0;     // of these, seen by the subscriber at the hub
  uint64_t lost = 0;          // acknowledged and not delivered
  uint64_t duplicated = 0;    // further copies at the hub
  uint64_t out_of_order = 0;  // first copies that came after a later message of the same device
};

// Who sent what, and what of it arrived: message n of device d, both from 0. Thread-safe.
class Ledger {
 public:
  explicit Ledger(size_t devices) : devices_(devices) {}

  void Sent(size_t device, uint64_t sequence);
  void Acknowledged(size_t device, uint64_t sequence);
  void Delivered(size_t device, uint64_t sequence);
  // The message with this payload: "<device> <sequence> …". Another payload is nobody's.
  void DeliveredPayload(std::string_view payload);

  Totals Count() const;
  // Up to `limit` of the lost ones: "device 3: message 412".
  std::vector<std::string> Lost(size_t limit) const;

 private:
  struct Device {
    std::vector<bool> acknowledged;
    std::vector<bool> delivered;
    uint64_t sent = 0;
    uint64_t highest_delivered_end = 0;  // One past the highest sequence delivered.
  };
  static void Mark(std::vector<bool>& set, uint64_t sequence);

  mutable absl::Mutex mutex_;
  std::vector<Device> devices_ ABSL_GUARDED_BY(mutex_);
  uint64_t acknowledged_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t delivered_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t acknowledged_and_delivered_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t duplicated_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t out_of_order_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace holdfast::demo
