#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace holdfast::uplink {

// A message of the hub for a device (IoT Hub contract: cloud-to-device).
struct CloudMessage {
  uint16_t packet_id = 0;
  std::string bag;
  std::string body;
  // Seconds to live: 0 = the queue's setting.
  int32_t ttl_seconds = 0;
  // Not to be stored (expired, too large): acknowledged in its turn, and that is all.
  bool drop = false;

  size_t bytes() const { return bag.size() + body.size(); }
};

// What the hub sent for one device and the store does not have yet, over the device's connections to the hub. One
// message at a time is written; each is acknowledged when it is stored, in the order in which they came.
//
// The hub sends again what it has no acknowledgement for. A message that comes again on a new connection is recognised,
// and only acknowledged, if it was stored on an earlier one and
//   - its acknowledgement was never sent, since the connection ended before the store answered: it must come again; or
//   - its acknowledgement went out less than kUnsettled before that connection ended, and it has an id (`$.mid`).
// for kRecognised from the new connection's start. After a restart of this process nothing is recognised: the device
// gets a copy then, with the same `$.mid`. Pure; times are a monotonic clock's. Not thread-safe.
class C2dQueue {
 public:
  static constexpr size_t kMessagesMax = 64;
  static constexpr absl::Duration kUnsettled = absl::Seconds(30);
  static constexpr absl::Duration kRecognised = absl::Minutes(2);

  struct Actions {
    // To be acknowledged on the connection that is open, in this order.
    std::vector<uint16_t> acknowledge;
    // To be stored; then OnStored. At most one at a time.
    std::optional<CloudMessage> store;
    // Messages had to be left out (kMessagesMax): a new connection brings them.
    bool renew = false;
  };

  void OnOpened(absl::Duration now);
  // What waits comes again on the next connection.
  void OnClosed(absl::Duration now);
  // `room`: there is memory for it. Else, or beyond kMessagesMax, it is left out, unacknowledged.
  Actions OnMessage(CloudMessage message, bool room, absl::Duration now);
  // The message that Actions.store gave is on disk; or `stored` false: it is not, try again.
  Actions OnStored(bool stored, absl::Duration now);

  // Bytes of messages that are held.
  size_t bytes() const { return bytes_; }
  // Nothing is held, and nothing remembered.
  bool idle(absl::Duration now) const;
  // Nothing waits to be stored or acknowledged.
  bool empty() const { return waiting_.empty() && !writing_; }
  uint64_t recognised() const { return recognised_total_; }

 private:
  struct Stored {
    uint64_t hash = 0;
    bool has_id = false;
    // On its connection; infinite past: never, the connection was gone.
    absl::Duration acknowledged_at = -absl::InfiniteDuration();
  };

  Actions Advance(absl::Duration now);
  bool Recognise(const CloudMessage& message, absl::Duration now);
  void Remember(std::vector<Stored>* list, const Stored& stored);

  bool open_ = false;
  absl::Duration opened_at_ = -absl::InfiniteDuration();
  std::deque<CloudMessage> waiting_;
  // A copy of what is being stored, while its connection lives: the front of waiting_. Else `orphan_`.
  bool writing_ = false;
  bool orphan_ = false;
  Stored written_;
  size_t bytes_ = 0;
  bool left_out_ = false;
  // Stored on the connection that is open, and on those before.
  std::vector<Stored> here_;
  std::vector<Stored> before_;
  uint64_t recognised_total_ = 0;
};

}  // namespace holdfast::uplink
