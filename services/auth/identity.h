#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/time/time.h"

namespace holdfast::auth {

inline constexpr size_t kIdBytesMax = 128;        // IoT Hub's limit for device and module ids
inline constexpr size_t kIdentitiesMax = 20'000;  // of one gateway
inline constexpr size_t kKeyBytesMin = 16;        // IoT Hub: keys have 16 to 64 bytes
inline constexpr size_t kKeyBytesMax = 64;

// How an identity proves itself. As numbers in records: append only.
enum class Credential {
  kNone = 0,        // not at all: the hub knows it and has no credential for it
  kSas = 1,         // by a token signed with one of its keys
  kSelfSigned = 2,  // by a certificate with one of its thumbprints
  kCaSigned = 3,    // by a certificate of a trusted CA with its id as common name
};

// A device, or a module of one, and its credential. Keys are secret: never logged, never in an answer.
struct Identity {
  std::string device_id;
  std::string module_id;  // empty for a device
  bool enabled = true;
  Credential credential = Credential::kSas;
  std::string primary_key;           // decoded; empty: a module that has its device's keys only
  std::string secondary_key;         // decoded; empty if there is none
  std::string primary_thumbprint;    // of the certificate's DER, SHA-1 or SHA-256, lower-case hexadecimal; may be empty
  std::string secondary_thumbprint;  // likewise
  std::string generation_id;         // the hub's: another one is another identity of the same name; may be empty
  bool is_gateway = false;           // a device that has children itself
  std::string scope;                 // of a child: its parent's; of a gateway: its own; may be empty
  std::vector<std::string> parent_scopes;
  uint64_t version = 0;  // changes whenever anything above changes

  bool SameContent(const Identity& other) const {
    return device_id == other.device_id && module_id == other.module_id && enabled == other.enabled &&
           credential == other.credential && primary_key == other.primary_key && secondary_key == other.secondary_key &&
           primary_thumbprint == other.primary_thumbprint && secondary_thumbprint == other.secondary_thumbprint &&
           generation_id == other.generation_id && is_gateway == other.is_gateway && scope == other.scope &&
           parent_scopes == other.parent_scopes;
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
