// Shared access signatures as IoT Hub documents them: SharedAccessSignature sr=<R>&sig=<S>&se=<E>[&skn=<policy>]
//   R  url-encoded resource "<host>/devices/<device>[/modules/<module>]"
//   S  url-encoded base64 of HMAC-SHA256(key, R as sent + "\n" + E as sent)
//   E  seconds since 1970, as text
// Pure functions, thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace holdfast::iothub {

inline constexpr size_t kTokenBytesMax = 4096;
// A token is honoured this long after its end (IoT Hub's own allowance).
inline constexpr absl::Duration kClockSkew = absl::Minutes(5);

struct SasToken {
  std::string signed_text;  // R + "\n" + E, byte for byte as sent
  std::string resource;     // R url-decoded
  std::string signature;    // S decoded: 32 bytes
  std::string policy;       // skn url-decoded; empty if there is none
  absl::Time expiry;
};

// What a token is for.
struct Audience {
  std::string host;
  std::string device_id;
  std::string module_id;  // empty for a device
};

// INVALID_ARGUMENT with what is wrong, never with the signature, for anything that is not a token. Field order is free,
// names are compared ignoring case, unknown fields are ignored; a field named twice is an error.
absl::StatusOr<SasToken> ParseSasToken(std::string_view password);

// INVALID_ARGUMENT unless the resource has 3 or 5 parts of the documented form.
absl::StatusOr<Audience> ParseAudience(std::string_view resource);

// True if a part of an audience names `id`: url-decoded once more or as it is, ignoring ASCII case.
bool NamesId(std::string_view part, std::string_view id);

// ASCII.
bool EqualsIgnoreCase(std::string_view a, std::string_view b);

// True if `key` (decoded) made the token's signature. Compares in constant time.
bool IsSignedWith(const SasToken& token, std::string_view key);

// A token for `resource` (not encoded yet), signed with `key` (decoded); ends at `expiry`, in whole seconds.
std::string MakeSasToken(std::string_view resource, std::string_view key, absl::Time expiry);

inline bool IsExpired(const SasToken& token, absl::Time now) {
  return token.expiry + kClockSkew < now;
}

}  // namespace holdfast::iothub
