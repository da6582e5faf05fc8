#include "services/auth/key_ring.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>
#include <filesystem>

#include "lib/base/status.h"
#include "lib/base/unique_fd.h"
#include "lib/pki/file.h"
#include "lib/seal/key_ring.h"
#include "services/auth/tpm_blob.h"

namespace holdfast::auth {
namespace {

static_assert(seal::kKeysMax * seal::kKeyBytes <= Tpm::kSecretBytesMax, "a TPM seals the whole ring as one");

std::string Folder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// Held until it is closed; another instance of auth may want to change the file too.
absl::StatusOr<UniqueFd> Lock(const std::string& path) {
  UniqueFd folder(::open(Folder(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() || ::flock(folder.get(), LOCK_EX) != 0) {
    return ErrnoStatus(errno, fmt::format("can't lock the folder {}", Folder(path)));
  }
  return folder;
}

std::string Join(const std::vector<std::string>& keys) {
  std::string bytes;
  for (const std::string& key : keys) bytes += key;
  return bytes;
}

// FAILED_PRECONDITION if `bytes`, from `path`, are no ring.
absl::StatusOr<std::vector<std::string>> Split(const std::string& bytes, const std::string& path) {
  if (LooksLikeTpmBlob(bytes)) {
    return absl::FailedPreconditionError(fmt::format(
        "{} was sealed by a TPM; set [auth] sealing_key_source = \"tpm\" and tpm_blob_file to this file", path));
  }
  return seal::SplitKeys(bytes, path);
}

absl::StatusOr<std::vector<std::string>> ReadPlain(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bytes, pki::ReadSecretFile(path));
  return Split(bytes, path);
}

}  // namespace

KeyRing::KeyRing(KeyLocation where)
    : where_(std::move(where)),
      tpm_(where_.tpm_blob_file.empty() ? std::nullopt : std::make_optional<Tpm>(where_.tpm_tcti)) {}

absl::StatusOr<std::string> KeyRing::Encode(const std::vector<std::string>& keys) const {
  const std::string bytes = Join(keys);
  if (!has_tpm()) return bytes;
  ASSIGN_OR_RETURN(std::string blob, tpm_->Seal(bytes));
  // Before the old one is given up for it.
  ASSIGN_OR_RETURN(const std::string opened, tpm_->Unseal(blob));
  if (opened != bytes) return absl::FailedPreconditionError("the TPM opens something else than it has sealed");
  return blob;
}

absl::StatusOr<std::vector<std::string>> KeyRing::Decode(const std::string& bytes) const {
  if (!has_tpm()) return Split(bytes, file());
  const auto opened = tpm_->Unseal(bytes);
  if (absl::IsDataLoss(opened.status())) {
    return absl::FailedPreconditionError(
        fmt::format("{}: {}; restore the file from its copy", file(), std::string(opened.status().message())));
  }
  if (!opened.ok()) return Annotate(opened.status(), fmt::format("the sealing key in {}", file()));
  return Split(*opened, file());
}

absl::StatusOr<std::vector<std::string>> KeyRing::Read() {
  ASSIGN_OR_RETURN(const std::string bytes, pki::ReadSecretFile(file()));
  if (has_tpm() && bytes == blob_) return blob_keys_;
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, Decode(bytes));
  Remember(bytes, keys);
  return keys;
}

void KeyRing::Remember(const std::string& bytes, const std::vector<std::string>& keys) {
  if (!has_tpm()) return;
  blob_ = bytes;
  blob_keys_ = keys;
}

absl::Status KeyRing::WriteNew(const std::vector<std::string>& keys) {
  ASSIGN_OR_RETURN(const std::string bytes, Encode(keys));
  RETURN_IF_ERROR(pki::MakeDirectory(Folder(file()), 0700));
  RETURN_IF_ERROR(pki::WriteNewFile(file(), bytes, 0600));
  Remember(bytes, keys);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> KeyRing::Make() {
  ASSIGN_OR_RETURN(std::string key, seal::NewKey());
  std::vector<std::string> keys{std::move(key)};
  RETURN_IF_ERROR(WriteNew(keys));
  return keys;
}

absl::StatusOr<std::vector<std::string>> KeyRing::TakeOver() {
  if (!has_tpm()) return absl::NotFoundError("no TPM");
  ASSIGN_OR_RETURN(std::vector<std::string> keys, ReadPlain(where_.file));
  RETURN_IF_ERROR(WriteNew(keys));
  return keys;
}

absl::Status KeyRing::Replace(const std::vector<std::string>& keys) {
  ASSIGN_OR_RETURN(const std::string bytes, Encode(keys));
  const absl::Status status = pki::ReplaceFile(file(), bytes, 0600);
  if (status.ok()) {
    Remember(bytes, keys);
    return status;
  }
  if (has_tpm()) {
    return absl::FailedPreconditionError(fmt::format(
        "{}; [auth] tpm_blob_file must lie in a folder that auth can write", std::string(status.message())));
  }
  return absl::FailedPreconditionError(fmt::format(
      "{}; if the file is a secret that auth can't change, make a new one of {} random bytes followed by the {} bytes "
      "of the old one, mount it, restart auth, and cut it to its first {} bytes when `holdfast keys show` says that no "
      "record needs the old key",
      std::string(status.message()), seal::kKeyBytes, seal::kKeyBytes, seal::kKeyBytes));
}

absl::StatusOr<std::vector<std::string>> KeyRing::Add() {
  ASSIGN_OR_RETURN(const UniqueFd lock, Lock(file()));
  ASSIGN_OR_RETURN(std::vector<std::string> keys, Read());
  if (keys.size() > 1) {
    return absl::FailedPreconditionError(
        "a rotation is under way: the old key is dropped when no record needs it; see `holdfast keys show`");
  }
  ASSIGN_OR_RETURN(std::string key, seal::NewKey());
  keys.insert(keys.begin(), std::move(key));
  RETURN_IF_ERROR(Replace(keys));
  return keys;
}

absl::Status KeyRing::DropOld(const std::vector<std::string>& expected) {
  ASSIGN_OR_RETURN(const UniqueFd lock, Lock(file()));
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, Read());
  if (keys != expected) return absl::FailedPreconditionError(fmt::format("{} was changed meanwhile", file()));
  return Replace({keys.front()});
}

}  // namespace holdfast::auth
