#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "lib/base/string_map.h"

namespace holdfast::router {

// Clients in the report at most; those that connected or disconnected last. So it fits into a twin, however many there
// are (IoT Hub contract: 32 KiB of reported properties; edgeHub's own report of all clients breaks at a few hundred).
inline constexpr size_t kReportedClientsMax = 100;
inline constexpr size_t kReportedClientsBytesMax = 24 * 1024;

// What the gateway reports of itself in the twin of its `$edgeHub` (IoT Edge contract D2): what became of the desired
// properties, and who is connected. Pure. Not thread-safe.
class EdgeHubReport {
 public:
  // `code`: 200 = in force, 400 = refused, with the reasons; the settings before it stay.
  void SetDesired(uint64_t version, int code, std::string description);
  void OnConnected(const std::string& client_id, absl::Time at);
  void OnDisconnected(const std::string& client_id, absl::Time at);

  // The merge patch that brings `reported` (JSON, as it is in the twin now) to what it should be; "" if it is that
  // already.
  std::string Patch(std::string_view reported, std::string_view version) const;

 private:
  struct Client {
    bool connected = false;
    absl::Time last_connected = absl::InfinitePast();
    absl::Time last_disconnected = absl::InfinitePast();
    uint64_t order = 0;
  };
  Client& Touch(const std::string& client_id);

  uint64_t desired_version_ = 0;
  int code_ = 0;  // 0 = no desired properties were seen
  std::string description_;
  uint64_t next_order_ = 1;
  StringMap<Client> clients_;
  // In the order of their last change.
  absl::btree_map<uint64_t, std::string> order_;
  // Of those, who is not connected; the others are forgotten.
  absl::btree_set<uint64_t> away_;
  size_t connected_ = 0;
};

// A client id as the name of a property: `.`, `$`, `#`, blanks, control characters and `%` percent-encoded.
std::string PropertyName(std::string_view client_id);

}  // namespace holdfast::router
