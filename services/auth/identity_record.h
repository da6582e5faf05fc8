// How identities and what belongs to them are written before they are sealed: JSON objects, so that a later release can
// add a field and an older one still reads the rest. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/auth/hub_credential.h"
#include "services/auth/identity.h"
#include "services/auth/trusted_clock.h"

namespace holdfast::auth {

inline constexpr char kFileSource[] = "file";  // a provisioning file

// What is said of a whole set of identities.
struct SetRecord {
  uint64_t generation = 0;      // counts the changes
  std::string prefix;           // of the keys of its records
  uint64_t sealed_version = 0;  // under which its records are sealed: the generation that wrote all of them
  uint64_t count = 0;           // how many there are
  std::string source;           // kFileSource, or SourceOf() a hub credential
  std::string source_hash;      // of the provisioning file
  absl::Time synced_at;         // when the whole of it was last taken from its source
};

// Parsers: DATA_LOSS if the text is not such a record.
std::string ToText(const Identity& identity);
absl::StatusOr<Identity> ParseIdentity(std::string_view text);
std::string ToText(const SetRecord& record);
absl::StatusOr<SetRecord> ParseSetRecord(std::string_view text);
std::string ToText(const HubCredential& credential);
absl::StatusOr<HubCredential> ParseHubCredential(std::string_view text);
std::string ToText(const TrustedClock::Marks& marks);
absl::StatusOr<TrustedClock::Marks> ParseMarks(std::string_view text);

}  // namespace holdfast::auth
