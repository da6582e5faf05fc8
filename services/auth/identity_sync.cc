#include "services/auth/identity_sync.h"

#include <fmt/format.h>

#include <utility>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"
#include "services/auth/provisioning_file.h"

namespace holdfast::auth {

IdentitySync::IdentitySync(Options options, IdentityRepository& repository, IdentityCache& cache, HubIdentity& hub,
                           TrustedClock& trusted_clock, const Clock& clock, Metrics& metrics, Callbacks callbacks)
    : options_(std::move(options)),
      repository_(repository),
      cache_(cache),
      hub_(hub),
      trusted_clock_(trusted_clock),
      clock_(clock),
      metrics_(metrics),
      callbacks_(std::move(callbacks)),
      sealing_(options_.sealing_keys, repository, clock),
      keeper_({.file = options_.hub_connection_string_file, .hub_hostname = options_.hub_hostname}, repository, hub,
              metrics),
      wake_(options_.identities_file.empty() ? options_.hub_connection_string_file : options_.identities_file) {}

IdentitySync::~IdentitySync() {
  Stop();
}

void IdentitySync::Start() {
  runner_ = std::thread([this] { Run(); });
  watcher_ = std::thread([this] { WatchStore(); });
}

void IdentitySync::Stop() {
  if (is_stopping_.exchange(true)) return;
  wake_.Wake();
  {
    absl::MutexLock lock(&mutex_);
    if (watch_context_ != nullptr) watch_context_->TryCancel();
  }
  if (runner_.joinable()) runner_.join();
  if (watcher_.joinable()) watcher_.join();
  {
    absl::MutexLock lock(&mutex_);
    takes_tasks_ = false;
  }
  DoWaiting(absl::UnavailableError("auth is stopping"));
}

void IdentitySync::Run() {
  rpc::Backoff backoff(kRetryMin, kRetryMax);
  while (!is_stopping_ && !has_failed_) {
    const absl::Status status = Step();
    Report(status);
    DoWaiting(status);
    if (callbacks_.on_tick != nullptr) callbacks_.on_tick();
    if (status.ok()) backoff.Reset();
    // Never zero: a store that refuses at once must not be asked in a tight loop.
    const absl::Duration wait = status.ok() ? kTick : kRetryMin + backoff.Next();
    if (wake_.Wait(wait) != FileWatch::Event::kWake) is_file_due_ = true;
  }
  if (has_sealing_ && has_marks_ && cache_.Get().state != IdentityCache::State::kNotLoaded) SaveMarks().IgnoreError();
}

// One error is one line, however often it comes again.
void IdentitySync::Report(const absl::Status& status) {
  const std::string text = status.ok() ? "" : Text(status);
  if (text == last_error_) return;
  last_error_ = text;
  if (status.ok()) {
    spdlog::info("identities are in step with the store");
  } else if (rpc::IsTransient(status)) {
    spdlog::warn("the store is not reachable; trying again error={}", text);
  } else {
    spdlog::error("identities can't be brought into step with the store; trying again error={}", text);
  }
}

absl::Status IdentitySync::Step() {
  RETURN_IF_ERROR(EnsureSealing());
  RETURN_IF_ERROR(EnsureMarks());
  // A gateway has one source: with a file of identities the credential stays where it is.
  if (options_.identities_file.empty()) RETURN_IF_ERROR(keeper_.Refresh(sealing_.Get(), is_file_due_));
  if (is_store_changed_.exchange(false)) {
    if (absl::Status status = LoadFromStore(); !status.ok()) {
      is_store_changed_ = true;
      return status;
    }
  }
  // A damaged file must not keep what the store holds from being served, so it comes second.
  if (is_file_due_) RETURN_IF_ERROR(ApplyFile());
  is_file_due_ = false;
  Serve();  // the gateway may have another credential now
  if (cache_.Get().state == IdentityCache::State::kNotLoaded) {
    spdlog::info("no identities were ever provisioned; clients are told to try again later");
    cache_.SetNeverProvisioned();
    callbacks_.on_serving(true);
  }
  RETURN_IF_ERROR(EnsureWorkloadSecret());
  RETURN_IF_ERROR(AdvanceRotation());
  if (clock_.SinceBoot() - marks_saved_at_ >= kSaveMarksEvery) RETURN_IF_ERROR(SaveMarks());
  return absl::OkStatus();
}

absl::Status IdentitySync::EnsureSealing() {
  const absl::Status status = sealing_.Refresh();
  if (!status.ok() && !rpc::IsTransient(status)) {
    has_failed_ = true;
    callbacks_.on_fatal(status);
  }
  has_sealing_ = has_sealing_ || status.ok();
  return status;
}

absl::Status IdentitySync::AdvanceRotation() {
  ASSIGN_OR_RETURN(const bool is_written, sealing_.Advance());
  if (is_written) {
    is_store_changed_ = true;  // the set's revision is another one
    wake_.Wake();
  }
  return absl::OkStatus();
}

absl::Status IdentitySync::EnsureMarks() {
  if (has_marks_) return absl::OkStatus();
  const auto marks = repository_.LoadMarks(sealing_.Get());
  if (marks.ok()) {
    trusted_clock_.Restore(*marks);
  } else if (absl::IsDataLoss(marks.status())) {
    spdlog::error("the last known time can't be read and is made anew error={}", Text(marks.status()));
  } else if (!absl::IsNotFound(marks.status())) {
    return marks.status();
  }
  has_marks_ = true;
  if (!trusted_clock_.WallIsBelieved()) {
    spdlog::warn("the wall clock is wrong; dates are judged by the last known time wall={} taken={}",
                 absl::FormatTime(absl::RFC3339_sec, clock_.WallNow(), absl::UTCTimeZone()),
                 absl::FormatTime(absl::RFC3339_sec, trusted_clock_.Now(), absl::UTCTimeZone()));
  }
  return absl::OkStatus();
}

absl::Status IdentitySync::EnsureWorkloadSecret() {
  if (has_workload_secret_ || callbacks_.on_workload_secret == nullptr) return absl::OkStatus();
  auto secret = repository_.LoadWorkloadSecret(sealing_.Get());
  if (absl::IsDataLoss(secret.status())) {
    // Left as it is: a new one would make what modules have encrypted unreadable for good.
    spdlog::error("modules can't encrypt and decrypt; restore auth/workload in the store from a backup error={}",
                  Text(secret.status()));
  } else if (!secret.ok()) {
    return secret.status();
  } else {
    callbacks_.on_workload_secret(*std::move(secret));
  }
  has_workload_secret_ = true;
  return absl::OkStatus();
}

absl::Status IdentitySync::LoadFromStore() {
  auto set = repository_.Load(sealing_.Get());
  // Nothing there: Step() says so after it has looked at the file. Records that were there once and are gone are no
  // reason to turn clients away.
  if (absl::IsNotFound(set.status())) return absl::OkStatus();
  if (!set.ok()) return set.status();
  if (stored_ == nullptr || stored_->revision != (*set)->revision) Adopt(*std::move(set), "store");
  return absl::OkStatus();
}

absl::Status IdentitySync::ApplyFile() {
  if (options_.identities_file.empty()) return absl::OkStatus();
  auto file = ReadProvisioningFile(options_.identities_file);
  if (absl::IsNotFound(file.status())) return absl::OkStatus();  // not needed once it was loaded (P4)
  if (!file.ok()) {
    if (bad_file_hash_ != Text(file.status())) {
      spdlog::error("the identities file is not used; what was known before stays in force error={}",
                    Text(file.status()));
      metrics_.Counter("holdfast_auth_provisioning_errors_total", "Identities files that were refused").Increment();
    }
    bad_file_hash_ = Text(file.status());
    return absl::OkStatus();
  }
  bad_file_hash_.clear();
  if (stored_ != nullptr && MayUse(*stored_) && stored_->about.source_hash == file->hash && stored_->damaged == 0) {
    return absl::OkStatus();
  }
  const SetOrigin origin{.source = kFileSource, .source_hash = file->hash, .synced_at = trusted_clock_.Now()};
  auto set = repository_.Replace(sealing_.Get(), std::move(file->identities), origin, stored_.get());
  if (absl::IsFailedPrecondition(set.status())) {
    is_store_changed_ = true;  // another instance was faster
    return absl::UnavailableError("the identities in the store were changed by another instance of auth meanwhile");
  }
  if (!set.ok()) return set.status();
  Adopt(*std::move(set), "file");
  return absl::OkStatus();
}

absl::Status IdentitySync::SaveMarks() {
  RETURN_IF_ERROR(repository_.SaveMarks(sealing_.Get(), trusted_clock_.Observe()));
  marks_saved_at_ = clock_.SinceBoot();
  return absl::OkStatus();
}

void IdentitySync::Do(Task task) {
  absl::Status refused;
  {
    absl::MutexLock lock(&mutex_);
    if (!takes_tasks_) {
      refused = absl::UnavailableError("auth is stopping");
    } else if (waiting_.size() >= kTasksWaitingMax) {
      refused = absl::ResourceExhaustedError(fmt::format("{} changes wait already", kTasksWaitingMax));
    } else {
      waiting_.push_back(std::move(task));
    }
  }
  refused.ok() ? wake_.Wake() : task(refused);
}

void IdentitySync::DoWaiting(const absl::Status& can_do) {
  while (true) {
    Task next;
    {
      absl::MutexLock lock(&mutex_);
      if (waiting_.empty()) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
    next(can_do);
  }
}

void IdentitySync::Apply(std::shared_ptr<const IdentityChange> change, OnApplied done) {
  Do([this, change = std::move(change), done = std::move(done)](const absl::Status& can_do) {
    const bool is_delta = change->kind() == IdentityChange::Kind::kDelta;
    const auto counts = can_do.ok() ? ApplyChange(*change) : absl::StatusOr<ChangeCounts>(can_do);
    metrics_
        .Counter("holdfast_auth_syncs_total", "Changes that the hub sent",
                 {{"kind", is_delta ? "delta" : "snapshot"}, {"result", counts.ok() ? "applied" : "refused"}})
        .Increment();
    if (counts.ok()) {
      spdlog::info("the hub's identities are in force kind={} added={} changed={} removed={} unchanged={}",
                   is_delta ? "delta" : "snapshot", counts->added, counts->changed, counts->removed, counts->unchanged);
    }
    done(counts);
  });
}

void IdentitySync::RotateSealingKey(OnKeys done) {
  Do([this, done = std::move(done)](const absl::Status& can_do) {
    absl::Status status = can_do;
    if (status.ok()) status = sealing_.Rotate();
    is_store_changed_ = true;  // the set's revision is another one
    wake_.Wake();
    done(status.ok() ? sealing_.Status() : absl::StatusOr<SealingKeysStatus>(status));
  });
}

void IdentitySync::GetSealingKeys(OnKeys done) {
  Do([this, done = std::move(done)](const absl::Status& can_do) {
    done(can_do.ok() ? sealing_.Status() : absl::StatusOr<SealingKeysStatus>(can_do));
  });
}

absl::Status IdentitySync::CheckHubIsSource() const {
  if (!options_.identities_file.empty()) {
    return absl::FailedPreconditionError("the identities of this gateway come from a file: [auth] identities_file");
  }
  if (hub_.Get() != nullptr) return absl::OkStatus();
  if (cache_.Get().state == IdentityCache::State::kNotLoaded) {
    return absl::UnavailableError("the store was not read yet");
  }
  return absl::FailedPreconditionError(
      "this gateway has no identity of its own at a hub; set [auth] hub_connection_string_file");
}

absl::StatusOr<ChangeCounts> IdentitySync::ApplyChange(const IdentityChange& change) {
  constexpr int kAttemptsMax = 3;
  static const IdentityMap kNone;
  const bool is_delta = change.kind() == IdentityChange::Kind::kDelta;
  RETURN_IF_ERROR(CheckHubIsSource());
  const auto hub = hub_.Get();
  for (int attempt = 1;; ++attempt) {
    const bool has_base = stored_ != nullptr && MayUse(*stored_);
    if (is_delta && !has_base) return absl::FailedPreconditionError("a snapshot must come before the first delta");
    const IdentityMap& before = has_base ? stored_->identities : kNone;
    ASSIGN_OR_RETURN(IdentityMap after, change.ApplyTo(before));
    const ChangeCounts counts = Count(before, after);
    const bool is_same = counts.added + counts.changed + counts.removed == 0 && has_base && stored_->damaged == 0;
    if (is_delta && is_same) return counts;
    const SetOrigin origin{.source = SourceOf(*hub),
                           .source_hash = "",
                           .synced_at = is_delta ? stored_->about.synced_at : trusted_clock_.Now()};
    auto set = repository_.Replace(sealing_.Get(), std::move(after), origin, stored_.get());
    if (set.ok()) {
      Adopt(*std::move(set), "hub");
      return counts;
    }
    is_store_changed_ = true;  // by whom and how far is not known
    if (!absl::IsFailedPrecondition(set.status()) || attempt == kAttemptsMax) {
      return rpc::IsTransient(set.status()) ? set.status() : absl::UnavailableError(Text(set.status()));
    }
    RETURN_IF_ERROR(LoadFromStore());  // another instance was faster
  }
}

void IdentitySync::Adopt(std::shared_ptr<const IdentitySet> set, std::string_view from) {
  spdlog::info("identities loaded from={} source={} count={} generation={} damaged={}", from,
               Printable(set->about.source), set->identities.size(), set->about.generation, set->damaged);
  stored_revision_ = set->revision;
  stored_ = std::move(set);
  Serve();
}

void IdentitySync::Serve() {
  if (stored_ == nullptr) return;
  const IdentityCache::View view = cache_.Get();
  if (!MayUse(*stored_)) {
    if (view.state == IdentityCache::State::kNeverProvisioned) return;
    spdlog::warn(
        "the identities in the store are of another source and are not used; clients are told to try again "
        "later until the configured one was read store={} configured={}",
        Printable(stored_->about.source), Printable(WantedSource()));
    cache_.SetNeverProvisioned();
  } else {
    if (view.set == stored_) return;
    metrics_.Gauge("holdfast_auth_identities", "Identities in force")
        .Set(static_cast<double>(stored_->identities.size()));
    metrics_.Gauge("holdfast_auth_damaged_identities", "Identities in the store that can't be read")
        .Set(static_cast<double>(stored_->damaged));
    cache_.Set(stored_);
  }
  callbacks_.on_serving(true);
}

std::string IdentitySync::WantedSource() const {
  if (!options_.identities_file.empty()) return kFileSource;
  if (const auto hub = hub_.Get()) return SourceOf(*hub);
  return options_.hub_connection_string_file.empty() ? "" : "a hub that is not known yet";
}

bool IdentitySync::MayUse(const IdentitySet& set) const {
  const std::string wanted = WantedSource();
  return wanted.empty() || wanted == set.about.source;
}

void IdentitySync::WatchStore() {
  rpc::Backoff backoff(kRetryMin, kRetryMax);
  uint64_t next_revision = 0;
  while (!is_stopping_) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    {
      absl::MutexLock lock(&mutex_);
      if (is_stopping_) return;
      watch_context_ = &context;
    }
    repository_
        .Watch(&context, next_revision,
               [&](uint64_t revision) {
                 backoff.Reset();
                 next_revision = revision + 1;
                 if (stored_revision_ >= revision) return;  // our own change
                 is_store_changed_ = true;
                 wake_.Wake();
               })
        .IgnoreError();  // a break of the stream ends like this too; what was missed comes first in the next
    absl::MutexLock lock(&mutex_);
    watch_context_ = nullptr;
    const auto is_stopping = [this] { return is_stopping_.load(); };
    mutex_.AwaitWithTimeout(absl::Condition(&is_stopping), kRetryMin + backoff.Next());
  }
}

}  // namespace holdfast::auth
