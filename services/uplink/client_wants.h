#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "holdfast/presence/v1/presence.pb.h"
#include "holdfast/twin/v1/twin.pb.h"
#include "lib/base/string_map.h"

namespace holdfast::uplink {

// What a connection to the hub is for, besides messages.
struct Duties {
  bool cloud_to_device = false;
  bool methods = false;
  bool twin = false;

  bool any() const { return cloud_to_device || methods || twin; }
  bool operator==(const Duties&) const = default;
};

// What uplink needs to know of a twin's record.
struct TwinState {
  // The hub was not told everything.
  bool pending = false;
  // When the hub's document was read last; 0 = never.
  int64_t synced_unix_ms = 0;
};
TwinState StateOf(const twin::v1::TwinRecord& record);

// For whom a connection to the hub is worth having, though there are no messages:
//
//   held     the client is there and has subscribed to something that only the hub has: for as long as it is there.
//   errand   its twin has something to say or to ask, once, whether it is there or not; most urgent first:
//            what it reported and the hub was not told; a client that is there and whose twin was never read; a record
//            that is older than refresh_interval. At most errands_max at a time, so that a site with 10,000 twins does
//            not log in 10,000 times when the link comes back.
//
// Pure; times are a monotonic clock's, but for the twins', which are the wall clock's. Not thread-safe.
class ClientWants {
 public:
  struct Options {
    size_t errands_max = 16;
    absl::Duration refresh_interval = absl::Hours(1);
    // An errand that did not end by then is given up, and tried again after `errand_pause`.
    absl::Duration errand_timeout = absl::Seconds(60);
    absl::Duration errand_pause = absl::Minutes(5);
  };

  explicit ClientWants(Options options) : options_(options) {}

  // The entries of presence and the twins' records as they change. A reset begins with the former.
  void ClearPresence();
  void SetPresence(std::string_view client, const presence::v1::ClientPresence& presence);
  void RemovePresence(std::string_view client);
  void ClearTwins();
  void SetTwin(std::string_view client, TwinState twin);
  void RemoveTwin(std::string_view client);
  // Clients that were changed since the last call.
  std::vector<std::string> TakeChanged();

  Duties duties(std::string_view client) const;
  bool held(std::string_view client) const;
  // "" if it is not there.
  std::string client_type(std::string_view client) const;
  std::string model_id(std::string_view client) const;
  bool pending(std::string_view client) const;
  bool present(std::string_view client) const;

  // The hub does not know the client any more: no errands, until it is there anew.
  void SetGone(std::string_view client, absl::Duration now);
  // Begins errands; ends those that took too long. `online`: connections can be made. Returns the clients whose duties
  // changed.
  std::vector<std::string> Tick(absl::Duration now, absl::Time wall_now, bool online);
  // What the errand was for is done; nothing happens if there is none.
  void EndErrand(std::string_view client, absl::Duration now);

  size_t errands() const { return errands_.size(); }
  size_t held_count() const { return held_count_; }
  size_t present_count() const { return present_count_; }
  size_t pending_count() const { return pending_count_; }

 private:
  enum class Urgency : uint8_t { kNone, kStale, kNeverRead, kPending };
  struct Client {
    bool present = false;
    Duties wants;  // by its subscriptions
    std::string client_type;
    std::string model_id;
    std::optional<TwinState> twin;
    bool errand = false;
    bool gone = false;
    absl::Duration errand_not_before = -absl::InfiniteDuration();
  };

  Client& at(std::string_view client);
  const Client* find(std::string_view client) const;
  void Count(const Client& client, int step);
  void Absent(Client* client);
  void ForgetIfEmpty(std::string_view client);
  Urgency UrgencyOf(const Client& client, absl::Time wall_now) const;

  const Options options_;
  StringMap<Client> clients_;
  StringSet changed_;
  // When each was begun.
  StringMap<absl::Duration> errands_;
  size_t held_count_ = 0;
  size_t present_count_ = 0;
  size_t pending_count_ = 0;
};

}  // namespace holdfast::uplink
