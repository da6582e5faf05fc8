#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "services/auth/identity_repository.h"
#include "services/auth/key_ring.h"
#include "services/auth/sealing.h"

namespace holdfast::auth {

// How far the sealing keys are.
struct SealingKeysStatus {
  std::vector<std::string> key_ids;  // the first one seals
  uint64_t current = 0;              // records sealed with the first key
  uint64_t older = 0;                // with another one of ours
  uint64_t unreadable = 0;           // damaged, or with a key that we do not have
  bool has_tpm = false;              // a TPM has sealed the keys
  std::string file;                  // in which they lie, or what the TPM made of them
};

// Keeps the sealing keys: makes the first one, reads the file again when it changes, and takes a rotation to its end.
// The old key stays in the file until every record has been sealed with the new one and every instance of auth has had
// the time to read the file, so the store can be read at any moment, whoever dies when. Not thread-safe.
class SealingKeeper {
 public:
  // After the last record was sealed anew, before the old key goes; longer than an instance takes to see a changed
  // file.
  static constexpr absl::Duration kDropAfter = absl::Minutes(2);

  // The references must outlive it.
  SealingKeeper(KeyLocation where, IdentityRepository& repository, const Clock& clock)
      : ring_(std::move(where)), repository_(repository), clock_(clock) {}

  // Makes Get() usable, or reads the file again if it has changed. An error before the first success means that the key
  // is unusable, or missing while the store holds what it sealed; it can't heal unless it is transient (the store is
  // away). Afterwards a file that can't be read is logged, and what is known is used.
  absl::Status Refresh();

  // Usable after the first Refresh() that succeeded.
  const Sealing& Get() const { return *sealing_; }

  // Takes a rotation further, if one is under way; true if records were written.
  absl::StatusOr<bool> Advance();

  // Begins a rotation: a new key is in the file and seals from now on, and all records are sealed with it when this
  // returns. Errors as KeyRing::Add's and the store's; after an error of the store Advance() goes on.
  absl::Status Rotate();

  absl::StatusOr<SealingKeysStatus> Status();

 private:
  absl::StatusOr<std::vector<std::string>> ReadOrMake();
  absl::Status Use(std::vector<std::string> keys);

  KeyRing ring_;
  IdentityRepository& repository_;
  const Clock& clock_;
  std::optional<Sealing> sealing_;
  std::vector<std::string> keys_;
  std::string last_complaint_;
  std::optional<absl::Duration> clean_since_;  // since boot: no record needs an old key; nothing if that is not known
};

}  // namespace holdfast::auth
