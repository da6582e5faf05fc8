#include "services/auth/sealing_keeper.h"

#include <fmt/format.h>

#include <utility>

#include "lib/base/log.h"
#include "lib/base/status.h"

namespace holdfast::auth {

absl::StatusOr<std::vector<std::string>> SealingKeeper::ReadOrMake() {
  auto keys = ring_.Read();
  if (sealing_ || !absl::IsNotFound(keys.status())) return keys;
  keys = ring_.TakeOver();
  if (absl::IsAlreadyExists(keys.status())) return ring_.Read();  // another instance's
  if (keys.ok()) {
    spdlog::warn(
        "the TPM has sealed the key that lay in a file; that file still opens the store: run `holdfast keys rotate`, "
        "then delete it tpm_blob_file={} file={}",
        ring_.file(), ring_.location().file);
  }
  if (!absl::IsNotFound(keys.status())) return keys;
  const auto has_records = repository_.HasSealedRecords();
  if (!has_records.ok()) return absl::UnavailableError(Text(has_records.status()));
  if (*has_records) {
    return absl::FailedPreconditionError(
        fmt::format("the sealing key {} is missing, and the store holds identities sealed with it; restore the key. A "
                    "new one would "
                    "make them unreadable, so none was made",
                    ring_.file()));
  }
  keys = ring_.Make();
  if (absl::IsAlreadyExists(keys.status())) return ring_.Read();
  if (keys.ok() && ring_.has_tpm()) {
    spdlog::info("made the sealing key, and the TPM has sealed it; no other TPM opens it file={}", ring_.file());
  } else if (keys.ok()) {
    spdlog::info("made the sealing key; keep a copy of it file={}", ring_.file());
  }
  return keys;
}

absl::Status SealingKeeper::Refresh() {
  auto keys = ReadOrMake();
  if (!keys.ok()) {
    if (!sealing_) return keys.status();
    const std::string text = Text(keys.status());
    if (std::exchange(last_complaint_, text) != text) {
      spdlog::error(
          "the sealing key can't be read any more; what is in memory is used, and is lost with this process "
          "error={}",
          text);
    }
    return absl::OkStatus();
  }
  last_complaint_.clear();
  return *keys == keys_ ? absl::OkStatus() : Use(*std::move(keys));
}

absl::Status SealingKeeper::Use(std::vector<std::string> keys) {
  ASSIGN_OR_RETURN(Sealing sealing, Sealing::Create(keys));
  if (sealing_) spdlog::info("sealing keys changed first={} keys={}", sealing.KeyId(), keys.size());
  sealing_ = std::move(sealing);
  keys_ = std::move(keys);
  clean_since_.reset();
  return absl::OkStatus();
}

absl::StatusOr<bool> SealingKeeper::Advance() {
  if (keys_.size() < 2) return false;
  const bool is_due = clean_since_ && clock_.SinceBoot() - *clean_since_ >= kDropAfter;
  if (clean_since_ && !is_due) return false;
  ASSIGN_OR_RETURN(const IdentityRepository::ResealCounts counts, repository_.Reseal(*sealing_));
  if (counts.older > 0) {
    spdlog::info("records are sealed with the new key count={} key={}", counts.older, sealing_->KeyId());
    clean_since_.reset();
    return true;
  }
  if (!is_due) {
    clean_since_ = clock_.SinceBoot();
    return false;
  }
  const absl::Status dropped = ring_.DropOld(keys_);
  clean_since_ = clock_.SinceBoot();  // not asked again at once, if the file can't be changed
  const std::string text = dropped.ok() ? "" : Text(dropped);
  if (dropped.ok()) {
    spdlog::info("the old sealing key is dropped; no record needs it file={}", ring_.file());
    RETURN_IF_ERROR(Use({keys_.front()}));
  } else if (std::exchange(last_complaint_, text) != text) {
    spdlog::warn("no record needs the old sealing key, but it can't be dropped error={}", text);
  }
  return false;
}

absl::Status SealingKeeper::Rotate() {
  ASSIGN_OR_RETURN(std::vector<std::string> keys, ring_.Add());
  RETURN_IF_ERROR(Use(std::move(keys)));
  spdlog::info("rotating the sealing key new={}; keep a copy of the file={}", sealing_->KeyId(), ring_.file());
  return Advance().status();
}

absl::StatusOr<SealingKeysStatus> SealingKeeper::Status() {
  SealingKeysStatus status{.key_ids = sealing_->KeyIds(), .has_tpm = ring_.has_tpm(), .file = ring_.file()};
  ASSIGN_OR_RETURN(const IdentityRepository::ResealCounts counts, repository_.CountSealed(*sealing_));
  status.current = counts.current;
  status.older = counts.older;
  status.unreadable = counts.unreadable;
  return status;
}

}  // namespace holdfast::auth
