#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/btree_map.h"
#include "absl/time/time.h"

namespace holdfast::auth {

inline constexpr size_t kIdBytesMax = 128;        // IoT Hub's limit for device and module ids
inline constexpr size_t kIdentitiesMax = 10'000;  // of one gateway

// A device, or a module of one, and its credential. Keys are secret: never logged, never in an answer.
struct Identity {
  std::string device_id;
  std::string module_id;  // empty for a device
  bool enabled = true;
  std::string primary_key;    // decoded; empty: a module that has its device's keys only
  std::string secondary_key;  // decoded; empty if there is none
  uint64_t version = 0;       // changes whenever anything above changes

  bool SameContent(const Identity& other) const {
    return device_id == other.device_id && module_id == other.module_id && enabled == other.enabled &&
           primary_key == other.primary_key && secondary_key == other.secondary_key;
  }
};

// "dev1" or "dev1/mod1": unique, since no id holds a '/'.
inline std::string FullId(std::string_view device_id, std::string_view module_id) {
  std::string id(device_id);
  if (!module_id.empty()) id.append("/").append(module_id);
  return id;
}
inline std::string FullId(const Identity& identity) {
  return FullId(identity.device_id, identity.module_id);
}

// All identities of one moment, by full id.
using IdentityMap = absl::btree_map<std::string, Identity, std::less<>>;

// True for 1-kIdBytesMax of the characters that IoT Hub allows in an id: A-Z a-z 0-9 - . + % _ # * ? ! ( ) , : = @ $ '
inline bool IsValidId(std::string_view id) {
  constexpr std::string_view kAllowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.+%_#*?!(),:=@$'";
  return !id.empty() && id.size() <= kIdBytesMax && id.find_first_not_of(kAllowed) == std::string_view::npos;
}

}  // namespace holdfast::auth
