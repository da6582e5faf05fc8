#include "services/store/log_pool.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/log.h"
#include "lib/base/status.h"

namespace holdfast::store {
namespace {

// One for the next log, one for the log after it, while the table of the one before is still being written.
constexpr size_t kSparesMax = 2;
// Written and synced at a time, so that a commit never waits behind more.
constexpr uint64_t kStepBytes = 256 << 10;
// None are made while the disk has less than this many times a file free.
constexpr uint64_t kFreeFilesMin = 8;

}  // namespace

LogPool::LogPool(Disk* disk, std::string directory, uint64_t file_bytes)
    : disk_(disk), directory_(std::move(directory)), file_bytes_(file_bytes) {}

LogPool::~LogPool() {
  Stop();
}

void LogPool::Start() {
  Stop();
  absl::MutexLock lock(&mutex_);
  for (size_t i = 0; i < kSparesMax; ++i) {
    Spare& spare = spares_.emplace_back();
    spare.path =
        fmt::format("{}/spare-{}.zeroes", directory_, i);  // A name that LevelDB does not know and leaves alone.
    spare.stage = Stage::kToPrepare;
    disk_->Remove(spare.path).IgnoreError();
  }
  running_ = true;
  thread_ = std::thread([this] { Loop(); });
}

void LogPool::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    running_ = false;
  }
  if (thread_.joinable()) thread_.join();
  absl::MutexLock lock(&mutex_);
  for (const Spare& spare : spares_) disk_->Remove(spare.path).IgnoreError();
  spares_.clear();
}

LogPool::Spare* LogPool::Find(Stage stage) {
  const auto it = std::find_if(spares_.begin(), spares_.end(), [&](const Spare& s) { return s.stage == stage; });
  return it == spares_.end() ? nullptr : &*it;
}

std::unique_ptr<Disk::File> LogPool::Take(const std::string& path) {
  absl::MutexLock lock(&mutex_);
  if (!running_) return nullptr;
  Spare* const spare = Find(Stage::kReady);
  if (spare == nullptr) {
    // Perhaps there was no room; there may be now.
    while (Spare* const empty = Find(Stage::kEmpty)) empty->stage = Stage::kToPrepare;
    return nullptr;
  }
  auto file = disk_->Open(spare->path, /*create=*/false);
  if (!file.ok() || !disk_->Rename(spare->path, path).ok()) return nullptr;
  // Made anew from the log that is removed next; if none is, when a log finds none ready.
  spare->stage = Stage::kEmpty;
  return *std::move(file);
}

bool LogPool::Recycle(const std::string& path) {
  absl::MutexLock lock(&mutex_);
  if (!running_) return false;
  Spare* const spare = Find(Stage::kEmpty);
  if (spare == nullptr || !disk_->Rename(path, spare->path).ok()) return false;
  spare->stage = Stage::kToPrepare;
  spare->recycled = true;
  return true;
}

bool LogPool::StopRequested() const {
  absl::MutexLock lock(&mutex_);
  return !running_;
}

void LogPool::Loop() {
  const auto something = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !running_ || Find(Stage::kToPrepare) != nullptr;
  };
  absl::MutexLock lock(&mutex_);
  while (true) {
    mutex_.Await(absl::Condition(&something));
    if (!running_) return;
    Spare& spare = *Find(Stage::kToPrepare);
    spare.stage = Stage::kPreparing;
    const bool recycled = std::exchange(spare.recycled, false);
    mutex_.Unlock();
    const absl::Status status = Prepare(spare.path, recycled);
    if (!status.ok()) disk_->Remove(spare.path).IgnoreError();
    mutex_.Lock();
    spare.stage = status.ok() ? Stage::kReady : Stage::kEmpty;
    if (!status.ok()) spdlog::debug("no spare log file error={}", Text(status));
  }
}

absl::Status LogPool::Prepare(const std::string& path, bool recycled) {
  if (disk_->FreeBytes(directory_) / kFreeFilesMin < file_bytes_) {
    return absl::ResourceExhaustedError("the disk is nearly full");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Disk::File> file, disk_->Open(path, /*create=*/!recycled));
  if (recycled) RETURN_IF_ERROR(file->Truncate(file_bytes_));
  const std::string zeroes(kStepBytes, '\0');
  for (uint64_t at = 0; at < file_bytes_; at += kStepBytes) {
    if (StopRequested()) return absl::CancelledError("stopping");
    RETURN_IF_ERROR(file->Write(at, std::string_view(zeroes).substr(0, file_bytes_ - at)));
    RETURN_IF_ERROR(file->Sync());
  }
  return absl::OkStatus();
}

bool LogPool::Settled() const {
  return std::none_of(spares_.begin(), spares_.end(),
                      [](const Spare& s) { return s.stage == Stage::kToPrepare || s.stage == Stage::kPreparing; });
}

size_t LogPool::AwaitReady() {
  const auto settled = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return Settled(); };
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&settled));
  return static_cast<size_t>(
      std::count_if(spares_.begin(), spares_.end(), [](const Spare& s) { return s.stage == Stage::kReady; }));
}

}  // namespace holdfast::store
