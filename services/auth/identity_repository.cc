#include "services/auth/identity_repository.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <random>
#include <utility>

#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"
#include "services/auth/workload_secret.h"

namespace holdfast::auth {
namespace {

namespace v1 = store::v1;

constexpr char kPrefix[] = "auth/";  // of everything that is sealed
constexpr char kMetaKey[] = "auth/meta";
constexpr char kHubKey[] = "auth/hub";
constexpr char kClockKey[] = "auth/clock";
constexpr char kWorkloadKey[] = "auth/workload";
constexpr char kIdentityPrefix[] = "auth/identity/";
constexpr uint64_t kFixedVersion = 0;  // of records that have one key for ever
constexpr uint32_t kPageEntries = 500;
constexpr size_t kWriteBytesMax = 1 << 20;

template <typename Request, typename Response>
absl::StatusOr<Response> Call(rpc::Channels& store,
                              grpc::Status (v1::KeyValue::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                         Response*),
                              const Request& request) {
  v1::KeyValue::Stub stub(store.Pick());
  grpc::ClientContext context;
  rpc::SetDeadline(&context, IdentityRepository::kCallTimeout);
  Response response;
  const absl::Status status = rpc::FromGrpc((stub.*method)(&context, request, &response));
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<v1::Entry> Get(rpc::Channels& store, const std::string& key) {
  v1::GetRequest request;
  request.set_key(key);
  ASSIGN_OR_RETURN(v1::GetResponse response, Call(store, &v1::KeyValue::Stub::Get, request));
  return std::move(*response.mutable_entry());
}

// Calls `on_entry` for all that start with the prefix.
absl::Status ForEach(rpc::Channels& store, const std::string& prefix, uint32_t limit,
                     const std::function<void(const v1::Entry&)>& on_entry) {
  v1::ListRequest request;
  request.set_prefix(prefix);
  request.set_limit(limit);
  do {
    ASSIGN_OR_RETURN(const v1::ListResponse response, Call(store, &v1::KeyValue::Stub::List, request));
    for (const v1::Entry& entry : response.entries()) on_entry(entry);
    request.set_start_key(response.next_key());
  } while (!request.start_key().empty());
  return absl::OkStatus();
}

// Two replicas that replace the set at the same time must not write under one prefix.
std::string NewPrefix(uint64_t generation) {
  std::random_device random;
  return fmt::format("{}{:016x}-{:08x}/", kIdentityPrefix, generation, random());
}

// Under which a record of this key is sealed: the generation in a prefix that NewPrefix() made, or kFixedVersion.
uint64_t VersionOf(std::string_view key) {
  constexpr std::string_view kPrefixText = kIdentityPrefix;
  if (!key.starts_with(kPrefixText)) return kFixedVersion;
  uint64_t version = kFixedVersion;
  std::from_chars(key.data() + kPrefixText.size(), key.data() + key.size(), version, 16);
  return version;
}

// Wrong key and damage are different things to an operator.
absl::Status Explain(const absl::Status& status, std::string_view what) {
  if (absl::IsFailedPrecondition(status)) {
    return absl::FailedPreconditionError(
        fmt::format("{} in the store was sealed with another key; restore the sealing key that belongs to this store. "
                    "Nothing is overwritten",
                    what));
  }
  return Annotate(status, fmt::format("{} in the store", what));
}

absl::Status AddPut(const Sealing& sealing, const IdentitySet& set, const std::string& id, const Identity& identity,
                    v1::WriteRequest* request) {
  v1::PutRequest* put = request->add_puts();
  put->set_key(set.about.prefix + id);
  ASSIGN_OR_RETURN(*put->mutable_value(), sealing.Seal(put->key(), set.about.sealed_version, ToText(identity)));
  return absl::OkStatus();
}

absl::Status AddMeta(const Sealing& sealing, const IdentitySet& set, uint64_t expected_revision,
                     v1::WriteRequest* request) {
  v1::PutRequest* meta = request->add_puts();
  meta->set_key(kMetaKey);
  meta->set_expected_revision(expected_revision);
  ASSIGN_OR_RETURN(*meta->mutable_value(), sealing.Seal(kMetaKey, kFixedVersion, ToText(set.about)));
  return absl::OkStatus();
}

// What turns the records of `from` into those of `to`, under the same prefix. Nothing if that is more than one write.
absl::StatusOr<std::optional<v1::WriteRequest>> WriteOfDifference(const Sealing& sealing, const IdentitySet& to,
                                                                  const IdentitySet& from) {
  v1::WriteRequest request;
  size_t bytes = 0;
  const auto fits = [&request, &bytes] {
    return request.puts_size() + request.deletes_size() < static_cast<int>(IdentityRepository::kWritePartsMax) &&
           bytes < kWriteBytesMax;
  };
  for (const auto& [id, identity] : to.identities) {
    const auto old = from.identities.find(id);
    if (old != from.identities.end() && old->second.version == identity.version) continue;
    if (!fits()) return std::nullopt;
    RETURN_IF_ERROR(AddPut(sealing, to, id, identity, &request));
    bytes += request.puts(request.puts_size() - 1).ByteSizeLong();
  }
  for (const auto& [id, identity] : from.identities) {
    if (to.identities.contains(id)) continue;
    if (!fits()) return std::nullopt;
    request.add_deletes()->set_key(from.about.prefix + id);
  }
  return std::optional<v1::WriteRequest>(std::move(request));
}

}  // namespace

absl::StatusOr<bool> IdentityRepository::HasSealedRecords() {
  v1::ListRequest request;
  request.set_prefix(kPrefix);
  request.set_limit(1);
  ASSIGN_OR_RETURN(const v1::ListResponse response, Call(store_, &v1::KeyValue::Stub::List, request));
  return response.entries_size() > 0;
}

absl::StatusOr<std::shared_ptr<const IdentitySet>> IdentityRepository::Load(const Sealing& sealing) {
  constexpr int kAttemptsMax = 5;
  for (int attempt = 1;; ++attempt) {
    ASSIGN_OR_RETURN(const v1::Entry entry, Get(store_, kMetaKey));
    const auto text = sealing.Open(kMetaKey, kFixedVersion, entry.value());
    if (!text.ok()) return Explain(text.status(), "the set of identities");
    auto set = std::make_shared<IdentitySet>();
    ASSIGN_OR_RETURN(set->about, ParseSetRecord(*text));
    set->revision = entry.revision();
    RETURN_IF_ERROR(LoadRecords(sealing, set.get()));
    // A set that is replaced while it is read looks as if records were missing.
    ASSIGN_OR_RETURN(const v1::Entry again, Get(store_, kMetaKey));
    if (again.revision() != entry.revision() && attempt < kAttemptsMax) continue;
    if (set->damaged > 0) {
      spdlog::error("identities in the store are missing or damaged and can't connect; provision them again count={}",
                    set->damaged);
    }
    return set;
  }
}

absl::Status IdentityRepository::LoadRecords(const Sealing& sealing, IdentitySet* set) {
  absl::Status wrong_key;
  RETURN_IF_ERROR(ForEach(store_, set->about.prefix, kPageEntries, [&](const v1::Entry& entry) {
    const auto text = sealing.Open(entry.key(), set->about.sealed_version, entry.value());
    if (absl::IsFailedPrecondition(text.status())) wrong_key = Explain(text.status(), "an identity");
    auto identity = text.ok() ? ParseIdentity(*text) : absl::StatusOr<Identity>(text.status());
    if (identity.ok()) {
      std::string id = FullId(*identity);
      set->identities.emplace(std::move(id), *std::move(identity));
    } else {
      spdlog::error("an identity in the store can't be read key={} error={}", Printable(entry.key()),
                    Text(identity.status()));
    }
  }));
  RETURN_IF_ERROR(wrong_key);
  const uint64_t read = set->identities.size();
  set->damaged = set->about.count > read ? set->about.count - read : 0;
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const IdentitySet>> IdentityRepository::Replace(const Sealing& sealing,
                                                                               IdentityMap identities,
                                                                               const SetOrigin& origin,
                                                                               const IdentitySet* current) {
  auto set = std::make_shared<IdentitySet>();
  set->about.generation = current == nullptr ? 1 : current->about.generation + 1;
  set->about.count = identities.size();
  set->about.source = origin.source;
  set->about.source_hash = origin.source_hash;
  set->about.synced_at = origin.synced_at;
  for (auto& [id, identity] : identities) {
    identity.version = set->about.generation;
    if (current == nullptr) continue;
    const auto old = current->identities.find(id);
    if (old != current->identities.end() && old->second.SameContent(identity)) identity.version = old->second.version;
  }
  set->identities = std::move(identities);
  const uint64_t expected_revision = current == nullptr ? 0 : current->revision;
  // A set with damaged records has to be written whole.
  if (current != nullptr && current->damaged == 0) {
    set->about.prefix = current->about.prefix;
    set->about.sealed_version = current->about.sealed_version;
    ASSIGN_OR_RETURN(std::optional<v1::WriteRequest> write, WriteOfDifference(sealing, *set, *current));
    if (write) {
      RETURN_IF_ERROR(AddMeta(sealing, *set, expected_revision, &*write));
      ASSIGN_OR_RETURN(const v1::WriteResponse response, Call(store_, &v1::KeyValue::Stub::Write, *write));
      set->revision = response.revision();
      return set;
    }
  }
  set->about.prefix = NewPrefix(set->about.generation);
  set->about.sealed_version = set->about.generation;
  ASSIGN_OR_RETURN(set->revision, WriteAll(sealing, *set, expected_revision));
  DeleteOtherGenerations(set->about.prefix);
  return set;
}

absl::StatusOr<uint64_t> IdentityRepository::WriteAll(const Sealing& sealing, const IdentitySet& set,
                                                      uint64_t expected_revision) {
  v1::WriteRequest request;
  size_t bytes = 0;
  for (const auto& [id, identity] : set.identities) {
    RETURN_IF_ERROR(AddPut(sealing, set, id, identity, &request));
    bytes += request.puts(request.puts_size() - 1).ByteSizeLong();
    if (static_cast<size_t>(request.puts_size()) < kWritePartsMax && bytes < kWriteBytesMax) continue;
    RETURN_IF_ERROR(Call(store_, &v1::KeyValue::Stub::Write, request).status());
    request.Clear();
    bytes = 0;
  }
  RETURN_IF_ERROR(AddMeta(sealing, set, expected_revision, &request));
  ASSIGN_OR_RETURN(const v1::WriteResponse response, Call(store_, &v1::KeyValue::Stub::Write, request));
  return response.revision();
}

void IdentityRepository::DeleteOtherGenerations(const std::string& prefix_in_force) {
  v1::WriteRequest request;
  // The generation's number sorts first in a prefix: a higher one may be another replica's, being written.
  const absl::Status status = ForEach(store_, kIdentityPrefix, kPageEntries, [&](const v1::Entry& entry) {
    if (entry.key().starts_with(prefix_in_force) || entry.key() > prefix_in_force) return;
    request.add_deletes()->set_key(entry.key());
    if (static_cast<size_t>(request.deletes_size()) < kWritePartsMax) return;
    Call(store_, &v1::KeyValue::Stub::Write, request).IgnoreError();
    request.Clear();
  });
  if (request.deletes_size() > 0) Call(store_, &v1::KeyValue::Stub::Write, request).IgnoreError();
  // What stays now goes after the next replacement; it is sealed and in no one's way.
  if (!status.ok()) spdlog::warn("records of older identities stay in the store for now error={}", Text(status));
}

absl::StatusOr<IdentityRepository::ResealCounts> IdentityRepository::VisitSealed(const Sealing& sealing,
                                                                                 bool is_resealing) {
  ResealCounts counts;
  v1::ListRequest request;
  request.set_prefix(kPrefix);
  request.set_limit(kPageEntries);
  do {
    ASSIGN_OR_RETURN(const v1::ListResponse page, Call(store_, &v1::KeyValue::Stub::List, request));
    v1::WriteRequest write;
    for (const v1::Entry& entry : page.entries()) {
      if (sealing.IsSealedWithFirst(entry.value())) {
        ++counts.current;
        continue;
      }
      const uint64_t version = VersionOf(entry.key());
      const auto text = sealing.Open(entry.key(), version, entry.value());
      if (!text.ok()) {
        ++counts.unreadable;
        continue;
      }
      ++counts.older;
      if (!is_resealing) continue;
      v1::PutRequest* put = write.add_puts();
      put->set_key(entry.key());
      put->set_expected_revision(entry.revision());
      ASSIGN_OR_RETURN(*put->mutable_value(), sealing.Seal(entry.key(), version, *text));
    }
    if (write.puts_size() > 0) {
      const absl::Status status = Call(store_, &v1::KeyValue::Stub::Write, write).status();
      if (absl::IsFailedPrecondition(status)) return absl::UnavailableError("a record was changed while it was sealed");
      RETURN_IF_ERROR(status);
    }
    request.set_start_key(page.next_key());
  } while (!request.start_key().empty());
  return counts;
}

absl::StatusOr<IdentityRepository::ResealCounts> IdentityRepository::Reseal(const Sealing& sealing) {
  return VisitSealed(sealing, /*is_resealing=*/true);
}

absl::StatusOr<IdentityRepository::ResealCounts> IdentityRepository::CountSealed(const Sealing& sealing) {
  return VisitSealed(sealing, /*is_resealing=*/false);
}

absl::Status IdentityRepository::Watch(grpc::ClientContext* context, uint64_t from_revision,
                                       const std::function<void(uint64_t)>& on_change) {
  v1::KeyValue::Stub stub(store_.Pick());
  v1::WatchRequest request;
  request.set_prefix(kMetaKey);
  request.set_from_revision(from_revision);
  const auto stream = stub.Watch(context, request);
  v1::WatchResponse response;
  while (stream->Read(&response)) {
    for (const v1::Change& change : response.changes()) on_change(change.entry().revision());
  }
  return rpc::FromGrpc(stream->Finish());
}

absl::StatusOr<std::string> IdentityRepository::Load(const Sealing& sealing, const char* key, std::string_view what) {
  ASSIGN_OR_RETURN(const v1::Entry entry, Get(store_, key));
  auto text = sealing.Open(key, kFixedVersion, entry.value());
  if (!text.ok()) return Explain(text.status(), what);
  return text;
}

absl::Status IdentityRepository::Save(const Sealing& sealing, const char* key, std::string_view text) {
  v1::PutRequest request;
  request.set_key(key);
  ASSIGN_OR_RETURN(*request.mutable_value(), sealing.Seal(key, kFixedVersion, text));
  return Call(store_, &v1::KeyValue::Stub::Put, request).status();
}

absl::StatusOr<HubCredential> IdentityRepository::LoadHub(const Sealing& sealing) {
  ASSIGN_OR_RETURN(const std::string text, Load(sealing, kHubKey, "the gateway's own credential"));
  return ParseHubCredential(text);
}

absl::Status IdentityRepository::SaveHub(const Sealing& sealing, const HubCredential& credential) {
  return Save(sealing, kHubKey, ToText(credential));
}

absl::StatusOr<TrustedClock::Marks> IdentityRepository::LoadMarks(const Sealing& sealing) {
  ASSIGN_OR_RETURN(const std::string text, Load(sealing, kClockKey, "the last known time"));
  return ParseMarks(text);
}

absl::Status IdentityRepository::SaveMarks(const Sealing& sealing, const TrustedClock::Marks& marks) {
  return Save(sealing, kClockKey, ToText(marks));
}

absl::StatusOr<std::string> IdentityRepository::LoadWorkloadSecret(const Sealing& sealing) {
  for (int attempt = 1;; ++attempt) {
    const auto entry = Get(store_, kWorkloadKey);
    if (entry.ok()) {
      auto secret = sealing.Open(kWorkloadKey, kFixedVersion, entry->value());
      if (!secret.ok()) return Explain(secret.status(), "the workload secret");
      return secret;
    }
    if (!absl::IsNotFound(entry.status()) || attempt > 1) return entry.status();
    v1::PutRequest request;
    request.set_key(kWorkloadKey);
    request.set_expected_revision(0);
    ASSIGN_OR_RETURN(*request.mutable_value(), sealing.Seal(kWorkloadKey, kFixedVersion, MakeWorkloadSecret()));
    const absl::Status made = Call(store_, &v1::KeyValue::Stub::Put, request).status();
    if (!made.ok() && !absl::IsFailedPrecondition(made)) return made;  // another instance's: read that one
  }
}

}  // namespace holdfast::auth
