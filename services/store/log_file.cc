#include "services/store/log_file.h"

#include <algorithm>

#include "lib/base/log.h"

namespace holdfast::store {
namespace {

constexpr size_t kPendingBytesMax = 1 << 20;
// Zeroes written at a time where a log has no space prepared: one growing sync for hundreds of small commits.
constexpr uint64_t kStepBytes = 256 << 10;

leveldb::Status ToLevelDb(const absl::Status& status) {
  return status.ok() ? leveldb::Status::OK() : leveldb::Status::IOError(Text(status));
}

}  // namespace

leveldb::Status LogFile::Append(const leveldb::Slice& data) {
  pending_.append(data.data(), data.size());
  return pending_.size() < kPendingBytesMax ? leveldb::Status::OK() : ToLevelDb(WriteOut());
}

leveldb::Status LogFile::Sync() {
  return ToLevelDb(SyncAll());
}

absl::Status LogFile::WriteOut() {
  if (failed_) return absl::InternalError("an earlier write to this log failed");
  absl::Status status = file_->Write(size_, pending_);
  failed_ = !status.ok();
  if (failed_) return status;
  size_ += pending_.size();
  pending_.clear();
  if (size_ <= ready_) return status;
  ready_ = (size_ / kStepBytes + 1) * kStepBytes;
  static const std::string zeroes(kStepBytes, '\0');
  // No room for zeroes is no harm: the log grows with its records then.
  if (!file_->Write(size_, std::string_view(zeroes).substr(0, ready_ - size_)).ok()) ready_ = size_;
  return status;
}

absl::Status LogFile::SyncAll() {
  absl::Status status = WriteOut();
  if (status.ok()) status = file_->Sync();
  if (status.ok() && !named_) {
    status = disk_->SyncDirectory(directory_);
    named_ = status.ok();
  }
  failed_ = !status.ok();
  return status;
}

leveldb::Status LogFile::Close() {
  if (file_ == nullptr) return leveldb::Status::OK();
  absl::Status status = failed_ || pending_.empty() ? absl::OkStatus() : WriteOut();
  if (!failed_) {
    if (const absl::Status cut = file_->Truncate(size_); !cut.ok()) {
      spdlog::debug("a log keeps the zeroes at its end error={}", Text(cut));
    }
  }
  file_.reset();
  return ToLevelDb(status);
}

}  // namespace holdfast::store
