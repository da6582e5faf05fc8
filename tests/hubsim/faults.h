// What the hub does wrong on command. A table: which faults are set, what they match, how often they have struck. The
// endpoints ask it and do the deed. README.md explains each kind.
#pragma once

#include <cstdint>
#include <list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace holdfast::hubsim {

inline constexpr size_t kFaultsMax = 100;

enum class FaultKind : uint8_t {
  kRefuse,         // no listener; connections are reset
  kHang,           // connections are accepted, and nothing is read or answered any more
  kConnack,        // CONNACK with this code
  kReset,          // the connection is reset when it has brought so many messages
  kDropAcks,       // messages are taken and never acknowledged
  kDelayAcks,      // acknowledgements come so much later
  kThrottle,       // acknowledgements come at this rate; optionally the connection is closed when that takes too long
  kTwinStatus,     // twin requests over MQTT get this status
  kRestStatus,     // HTTP answers get this status
  kRestWrongJson,  // HTTP answers hold another document
  kRestTruncated,  // HTTP answers hold the first half of theirs
  kRestSlow,       // HTTP answers come so much later
  kRestPage,       // the n-th page of a scope listing gets this status
};

struct Fault {
  uint64_t id = 0;
  FaultKind kind = FaultKind::kRefuse;
  std::string device;     // empty: all. Otherwise a device (and its modules), or "device/module"
  std::string path;       // of REST: part of the request's path; empty: all
  std::string target;     // of refuse and hang: "mqtt", "rest", "all"
  std::string operation;  // of twin_status: "get", "patch", "" = both
  uint64_t after = 0;
  uint64_t times = 0;  // 0: until cleared
  uint64_t unacked = 0;
  uint64_t rate = 0;  // messages per second
  int64_t ms = 0;
  int64_t disconnect_after_ms = 0;
  int code = 0;
  int retry_after = 0;  // seconds
  uint64_t page = 0;
  bool existing = true;  // of hang: connections that are there too
  bool record = true;    // of drop_acks: whether the message counts as received

  // Changes as it strikes.
  uint64_t seen = 0;
  uint64_t struck = 0;
  int64_t next_ack_us = 0;  // of throttle

  bool spent() const { return times != 0 && struck >= times; }
};

// Not thread-safe. Pointers are valid until Clear().
class Faults {
 public:
  // {"kind":"drop_acks","device":"d1","after":100}. INVALID_ARGUMENT for an unknown kind or field, or a value out of
  // range; RESOURCE_EXHAUSTED.
  absl::StatusOr<uint64_t> Set(const nlohmann::json& body);
  // 0 = all. False: no such fault.
  bool Clear(uint64_t id);
  nlohmann::json List() const;

  bool empty() const { return faults_.empty(); }
  // The first one that is not spent and matches; null if none. The caller counts `seen` and `struck`.
  Fault* Find(FaultKind kind, std::string_view device_id, std::string_view module_id = "");
  // The first REST fault for a path ("/devices/d1/…"), whose device is named in it as a segment.
  Fault* FindRest(FaultKind kind, std::string_view path);
  // Whether "mqtt" or "rest" is refused or hangs as a whole. kHang with a device is no such.
  bool Refuses(std::string_view target);
  Fault* Hang(std::string_view target);
  bool HangsDevice(std::string_view device_id, std::string_view module_id) const;

 private:
  uint64_t next_id_ = 1;
  std::list<Fault> faults_;
};

}  // namespace holdfast::hubsim
