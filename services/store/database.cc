#include "services/store/database.h"

#include <fmt/format.h>
#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/iterator.h>
#include <leveldb/options.h>
#include <leveldb/write_batch.h>

#include <algorithm>
#include <cstdarg>
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "services/store/disk_env.h"

namespace holdfast::store {
namespace {

constexpr size_t kLogLineMax = 1024;
constexpr size_t kDamagedFilesMax = 1000;
// A log ends with the batch that fills the write buffer: room for that batch.
constexpr uint64_t kLogBytesMargin = 512 << 10;

leveldb::Slice ToSlice(std::string_view text) {
  return {text.data(), text.size()};
}
std::string_view ToView(const leveldb::Slice& slice) {
  return {slice.data(), slice.size()};
}

absl::Status FromLevelDb(const leveldb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  if (status.IsNotFound()) return absl::NotFoundError(status.ToString());
  if (status.IsCorruption()) return absl::DataLossError(status.ToString());
  return absl::InternalError(status.ToString());
}

absl::Status Closed() {
  return absl::UnavailableError("the database is being reopened; retry");
}

}  // namespace

Batch::Batch() : batch_(std::make_unique<leveldb::WriteBatch>()) {}
Batch::~Batch() = default;
Batch::Batch(Batch&&) noexcept = default;
Batch& Batch::operator=(Batch&&) noexcept = default;

void Batch::Put(std::string_view key, std::string_view value) {
  batch_->Put(ToSlice(key), ToSlice(value));
  ++count_;
  bytes_ += key.size() + value.size();
}

void Batch::Delete(std::string_view key) {
  batch_->Delete(ToSlice(key));
  ++count_;
  bytes_ += key.size();
}

// LevelDB tells of the parts of a write-ahead log that it skips at open only in its log, just before it removes the
// file:
// "(ignoring error) PATH: dropping N bytes; REASON". So the file is copied aside at that moment.
class Database::DamageLog final : public leveldb::Logger {
 public:
  explicit DamageLog(Database* database) : database_(*database) {}

  void Logv(const char* format, std::va_list arguments) override {
    char line[kLogLineMax];
    std::vsnprintf(line, sizeof line, format, arguments);
    const std::string_view text(line);
    const size_t dropping = text.find(": dropping ");
    if (dropping == std::string_view::npos) {
      spdlog::debug("leveldb says text={}", Printable(text));
      return;
    }
    const size_t slash = text.find('/');
    spdlog::error("damaged log file, what could not be read is skipped detail={}", Printable(text, kLogLineMax));
    database_.RememberRepaired();
    if (slash < dropping) database_.SetAside(std::string(text.substr(slash, dropping - slash)), /*move=*/false);
  }

 private:
  Database& database_;
};

Database::Database(const Options& options)
    : options_(options),
      env_(std::make_unique<DiskEnv>(options.env != nullptr ? options.env : leveldb::Env::Default(),
                                     options.disk != nullptr ? options.disk : Disk::System(), options.directory,
                                     options.write_buffer_bytes + kLogBytesMargin)),
      cache_(leveldb::NewLRUCache(options.block_cache_bytes)),
      log_(std::make_unique<DamageLog>(this)) {}

Database::~Database() {
  absl::MutexLock lock(&mutex_);
  db_.reset();
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const Options& options) {
  std::error_code error;
  std::filesystem::create_directories(options.directory, error);
  if (error) {
    return ErrnoStatus(
        error.value(),
        fmt::format("can't make the data directory {}; create it or choose another data_dir", options.directory));
  }
  std::unique_ptr<Database> database(new Database(options));
  database->repaired_ = std::filesystem::exists(database->RepairedMark(), error);
  RETURN_IF_ERROR(database->Reopen(/*repair=*/false));
  return database;
}

absl::Status Database::Reopen(bool repair) {
  absl::MutexLock lock(&mutex_);
  db_.reset();
  env_->pool().Stop();
  if (repair) RETURN_IF_ERROR(Repair());
  absl::Status status = OpenLocked();
  if (absl::IsDataLoss(status)) {
    spdlog::error("database is damaged, repairing directory={} error={}", options_.directory, Text(status));
    RETURN_IF_ERROR(Repair());
    status = OpenLocked();
  }
  return status;
}

absl::Status Database::OpenLocked() {
  leveldb::Options options;
  options.create_if_missing = true;
  options.paranoid_checks =
      false;  // One bad block must not stop a compaction; each block of ours has its own checksum.
  options.compression = leveldb::kNoCompression;
  options.write_buffer_size = options_.write_buffer_bytes;
  options.max_file_size = options_.file_bytes_max;
  options.max_open_files = options_.open_files_max;
  options.block_cache = cache_.get();
  options.env = env_.get();
  options.info_log = log_.get();
  leveldb::DB* db = nullptr;
  const leveldb::Status status = leveldb::DB::Open(options, options_.directory, &db);
  db_.reset(db);
  if (status.ok()) {
    env_->pool().Start();
    return absl::OkStatus();
  }
  const std::string text = status.ToString();
  if (text.find("/LOCK") != std::string::npos) {
    return absl::FailedPreconditionError(fmt::format(
        "data directory {} is in use by another store, or not writable; stop that one or choose another data_dir ({})",
        options_.directory, text));
  }
  // "does not exist (create_if_missing…)" can't be; a table that is gone or no table at all is as bad as a damaged one.
  if (status.IsCorruption() || status.IsNotFound() || status.IsInvalidArgument()) return absl::DataLossError(text);
  return absl::UnavailableError(fmt::format("can't open the database in {}: {}", options_.directory, text));
}

absl::Status Database::Repair() {
  leveldb::Options options;
  options.env = env_.get();
  options.info_log = log_.get();
  options.compression = leveldb::kNoCompression;
  options.max_open_files = options_.open_files_max;
  RememberRepaired();
  const leveldb::Status status = leveldb::RepairDB(options_.directory, options);
  std::error_code error;
  const std::string lost = options_.directory + "/lost";
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(lost, error)) paths.push_back(entry.path().string());
  for (const std::string& path : paths) SetAside(path, /*move=*/true);
  if (status.ok()) return absl::OkStatus();
  return absl::UnavailableError(
      fmt::format("the database in {} can't be repaired: {}", options_.directory, status.ToString()));
}

// Before anything is given up: what was there last may have been numbered, and the numbering moves on only with the
// first write.
void Database::RememberRepaired() {
  if (repaired_.exchange(true)) return;
  Disk* const disk = options_.disk != nullptr ? options_.disk : Disk::System();
  absl::Status status = absl::OkStatus();
  if (auto file = disk->Open(RepairedMark(), /*create=*/true); file.ok()) {
    status = (*file)->Sync();
  } else {
    status = file.status();
  }
  if (status.ok()) status = disk->SyncDirectory(std::filesystem::path(options_.directory).parent_path().string());
  if (!status.ok()) spdlog::error("a crash now would let numbers be given out twice error={}", Text(status));
}

void Database::ForgetRepaired() {
  if (!repaired_.exchange(false)) return;
  Disk* const disk = options_.disk != nullptr ? options_.disk : Disk::System();
  // If it stays the numbering moves on once more at the next start, which does no harm.
  if (const absl::Status removed = disk->Remove(RepairedMark()); !removed.ok()) {
    spdlog::warn("the mark of a repair stays error={}", Text(removed));
  }
}

void Database::SetAside(const std::string& path, bool move) {
  absl::MutexLock lock(&damage_mutex_);
  std::error_code error;
  MakeDamageDirectory();
  const std::string target = damage_directory_ + "/" + std::filesystem::path(path).filename().string();
  if (std::filesystem::exists(target, error)) return;
  if (move) {
    std::filesystem::rename(path, target, error);
  } else {
    std::filesystem::copy_file(path, target, error);
  }
  if (error) {
    spdlog::error("damaged file can't be set aside path={} error={}", path, error.message());
    return;
  }
  spdlog::warn("damaged file set aside path={}", target);
  damaged_files_.push_back(target);
}

void Database::MakeDamageDirectory() {
  if (!damage_directory_.empty()) return;
  damage_directory_ = fmt::format("{}/{}", options_.damaged_directory,
                                  absl::FormatTime("%Y%m%dT%H%M%E3SZ", absl::Now(), absl::UTCTimeZone()));
  std::error_code error;
  std::filesystem::create_directories(damage_directory_, error);
}

void Database::KeepDamagedBlock(std::string_view key, std::string_view value) {
  absl::MutexLock lock(&damage_mutex_);
  if (damaged_files_.size() >= kDamagedFilesMax) return;
  MakeDamageDirectory();
  std::string path = damage_directory_ + "/block-";
  for (const char c : key) path += fmt::format("{:02x}", static_cast<unsigned char>(c));
  if (std::find(damaged_files_.begin(), damaged_files_.end(), path) != damaged_files_.end()) return;
  std::ofstream(path, std::ios::binary).write(value.data(), static_cast<std::streamsize>(value.size()));
  spdlog::error("damaged block set aside path={} bytes={}", path, value.size());
  damaged_files_.push_back(std::move(path));
}

absl::Status Database::Write(Batch* batch) {
  absl::ReaderMutexLock lock(&mutex_);
  if (db_ == nullptr) return Closed();
  leveldb::WriteOptions options;
  options.sync = true;
  return FromLevelDb(db_->Write(options, batch->batch_.get()));
}

absl::StatusOr<std::string> Database::Get(std::string_view key) const {
  absl::ReaderMutexLock lock(&mutex_);
  if (db_ == nullptr) return Closed();
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  std::string value;
  RETURN_IF_ERROR(FromLevelDb(db_->Get(options, ToSlice(key), &value)));
  return value;
}

Database::Scan::Scan(const Database& database, std::string prefix, bool checked) ABSL_NO_THREAD_SAFETY_ANALYSIS
    : database_(database),
      prefix_(std::move(prefix)) {
  database_.mutex_.ReaderLock();
  if (database_.db_ == nullptr) return;
  leveldb::ReadOptions options;
  options.verify_checksums = checked;
  options.fill_cache = checked;  // Blocks of records are read once, they would only push the rest out.
  iterator_.reset(database_.db_->NewIterator(options));
}

Database::Scan::~Scan() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  iterator_.reset();
  database_.mutex_.ReaderUnlock();
}

void Database::Scan::SeekFirst() {
  Seek(prefix_);
}

void Database::Scan::Seek(std::string_view key) {
  if (iterator_ != nullptr) iterator_->Seek(ToSlice(key));
}

void Database::Scan::SeekBefore(std::string_view key) {
  if (iterator_ == nullptr) return;
  iterator_->Seek(ToSlice(key));
  if (iterator_->Valid()) {
    iterator_->Prev();
  } else {
    iterator_->SeekToLast();
  }
}

void Database::Scan::SeekLast() {
  std::string behind = prefix_;
  while (!behind.empty() && static_cast<unsigned char>(behind.back()) == 0xff) behind.pop_back();
  if (!behind.empty()) behind.back() = static_cast<char>(behind.back() + 1);
  SeekBefore(behind);
}

void Database::Scan::Next() {
  iterator_->Next();
}

bool Database::Scan::Valid() const {
  return iterator_ != nullptr && iterator_->Valid() && key().starts_with(prefix_);
}

std::string_view Database::Scan::key() const {
  return ToView(iterator_->key());
}
std::string_view Database::Scan::value() const {
  return ToView(iterator_->value());
}
bool Database::Scan::damaged() const {
  return iterator_ != nullptr && !iterator_->status().ok();
}

absl::Status Database::Scan::status() const {
  return iterator_ == nullptr ? Closed() : absl::OkStatus();
}

std::vector<std::string> Database::damaged_files() const {
  absl::MutexLock lock(&damage_mutex_);
  return damaged_files_;
}

leveldb::Env* DefaultEnv() {
  return leveldb::Env::Default();
}

}  // namespace holdfast::store
