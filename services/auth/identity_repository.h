#pragma once

#include <grpcpp/client_context.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/rpc/channel.h"
#include "services/auth/identity.h"
#include "services/auth/identity_record.h"
#include "services/auth/sealing.h"

namespace holdfast::auth {

// All identities as they are in the store. Immutable once shared.
struct IdentitySet {
  SetRecord about;
  IdentityMap identities;
  uint64_t damaged = 0;   // records that were lost or could not be read, and are left out
  uint64_t revision = 0;  // the store's revision of the key that names this set
};

// Where a set comes from.
struct SetOrigin {
  std::string source;       // kFileSource, or SourceOf() a hub credential
  std::string source_hash;  // of the provisioning file
  absl::Time synced_at;     // when the whole of it was last taken from there
};

// The identities in store's key-value space, sealed:
//
//   auth/meta                            SetRecord: which records are in force
//   auth/identity/<generation>/<id>      one Identity each
//   auth/hub                             HubCredential
//   auth/clock                           TrustedClock::Marks
//   auth/workload                        WorkloadSecret's bytes
//
// A set is replaced by one atomic write of what differs and of auth/meta, if that fits into one write. Otherwise all
// its records are written under a new prefix and then auth/meta in the last of the writes. Each time auth/meta goes by
// compare-and-set, so a reader sees the old set or the new one. Every call waits for the store, at most kCallTimeout a
// request. Errors of the store come through (UNAVAILABLE, DEADLINE_EXCEEDED: try again). Thread-safe.
class IdentityRepository {
 public:
  static constexpr absl::Duration kCallTimeout = absl::Seconds(10);
  static constexpr size_t kWritePartsMax = 500;  // records in one write; the store allows 1,000 parts

  // `store` must outlive it.
  explicit IdentityRepository(rpc::Channels& store) : store_(store) {}

  // True if the store holds anything that a sealing key is needed for.
  absl::StatusOr<bool> HasSealedRecords();

  // The set in force. NOT_FOUND if there never was one; FAILED_PRECONDITION if another key sealed it. A record that is
  // damaged is logged, counted and left out.
  absl::StatusOr<std::shared_ptr<const IdentitySet>> Load(const Sealing& sealing);

  // Makes `identities` the set in force and returns it. `current`: the set that it replaces, null if there is none;
  // identities that are the same in both keep their version, the others get a higher one than any before.
  // FAILED_PRECONDITION, and nothing changed, if `current` is no longer in force.
  absl::StatusOr<std::shared_ptr<const IdentitySet>> Replace(const Sealing& sealing, IdentityMap identities,
                                                             const SetOrigin& origin, const IdentitySet* current);

  // Of all sealed records.
  struct ResealCounts {
    uint64_t current = 0;     // sealed with the first key
    uint64_t older = 0;       // with another one; after Reseal() with the first one too
    uint64_t unreadable = 0;  // damaged, or of a key that `sealing` does not have: left as they are
  };
  // Seals anew what the first key did not seal, each record in a write that fails if it was changed meanwhile
  // (UNAVAILABLE: try again). Can be broken off at any point.
  absl::StatusOr<ResealCounts> Reseal(const Sealing& sealing);
  absl::StatusOr<ResealCounts> CountSealed(const Sealing& sealing);

  // Calls `on_change` with the revision of every later change of the set in force, until `context` is cancelled or the
  // stream breaks.
  absl::Status Watch(grpc::ClientContext* context, uint64_t from_revision,
                     const std::function<void(uint64_t)>& on_change);

  // NOT_FOUND if never saved; FAILED_PRECONDITION if another key sealed it; DATA_LOSS if it is damaged.
  absl::StatusOr<HubCredential> LoadHub(const Sealing& sealing);
  absl::Status SaveHub(const Sealing& sealing, const HubCredential& credential);

  // NOT_FOUND if never saved.
  absl::StatusOr<TrustedClock::Marks> LoadMarks(const Sealing& sealing);
  absl::Status SaveMarks(const Sealing& sealing, const TrustedClock::Marks& marks);

  // The secret under which modules encrypt (workload_secret.h); a random one is made if there never was one. Errors as
  // Load's; DATA_LOSS if it is damaged, which is left as it is.
  absl::StatusOr<std::string> LoadWorkloadSecret(const Sealing& sealing);

 private:
  absl::Status LoadRecords(const Sealing& sealing, IdentitySet* set);
  absl::StatusOr<ResealCounts> VisitSealed(const Sealing& sealing, bool is_resealing);
  absl::StatusOr<std::string> Load(const Sealing& sealing, const char* key, std::string_view what);
  absl::Status Save(const Sealing& sealing, const char* key, std::string_view text);
  absl::StatusOr<uint64_t> WriteAll(const Sealing& sealing, const IdentitySet& set, uint64_t expected_revision);
  void DeleteOtherGenerations(const std::string& prefix_in_force);

  rpc::Channels& store_;
};

}  // namespace holdfast::auth
