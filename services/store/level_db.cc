#include "services/store/level_db.h"

#include <fmt/format.h>
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/iterator.h>
#include <leveldb/options.h>
#include <leveldb/write_batch.h>

#include <cstdarg>
#include <filesystem>
#include <utility>
#include <vector>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "services/store/damaged_files.h"
#include "services/store/disk_env.h"

namespace holdfast::store {
namespace {

constexpr size_t kLogLineMax = 1024;
// A log ends with the batch that fills the write buffer: room for that batch.
constexpr uint64_t kLogBytesMargin = 512 << 10;

absl::Status FromLevelDb(const leveldb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  if (status.IsNotFound()) return absl::NotFoundError(status.ToString());
  if (status.IsCorruption()) return absl::DataLossError(status.ToString());
  return absl::InternalError(status.ToString());
}

}  // namespace

// LevelDB tells of the parts of a write-ahead log that it skips at open only in its log, just before it removes the
// file:
// "(ignoring error) PATH: dropping N bytes; REASON". So the file is copied aside at that moment.
class LevelDb::DamageLog final : public leveldb::Logger {
 public:
  explicit DamageLog(const Options& options) : options_(options) {}

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
    options_.on_repair();
    if (slash < dropping) options_.damaged->SetAside(std::string(text.substr(slash, dropping - slash)), /*move=*/false);
  }

 private:
  const Options& options_;
};

LevelDb::LevelDb(Options options)
    : options_(std::move(options)),
      env_(std::make_unique<DiskEnv>(options_.env, options_.disk, options_.directory,
                                     options_.write_buffer_bytes + kLogBytesMargin)),
      log_(std::make_unique<DamageLog>(options_)) {}

LevelDb::~LevelDb() = default;

absl::Status LevelDb::Open(bool repair) {
  std::error_code error;
  std::filesystem::create_directories(options_.directory, error);
  if (error) {
    return ErrnoStatus(
        error.value(),
        fmt::format("can't make the data directory {}; create it or choose another data_dir", options_.directory));
  }
  if (repair) RETURN_IF_ERROR(Repair());
  absl::Status status = OpenOnce();
  if (!absl::IsDataLoss(status)) return status;
  spdlog::error("database is damaged, repairing directory={} error={}", options_.directory, Text(status));
  RETURN_IF_ERROR(Repair());
  return OpenOnce();
}

void LevelDb::Close() {
  db_.reset();
  env_->pool().Stop();
}

absl::Status LevelDb::OpenOnce() {
  leveldb::Options options;
  options.create_if_missing = true;
  options.paranoid_checks =
      false;  // One bad block must not stop a compaction; each block of ours has its own checksum.
  options.compression = leveldb::kNoCompression;
  options.write_buffer_size = options_.write_buffer_bytes;
  options.max_file_size = options_.file_bytes_max;
  options.max_open_files = options_.open_files_max;
  options.block_cache = options_.cache;
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

absl::Status LevelDb::Repair() {
  leveldb::Options options;
  options.env = env_.get();
  options.info_log = log_.get();
  options.compression = leveldb::kNoCompression;
  options.max_open_files = options_.open_files_max;
  options_.on_repair();
  const leveldb::Status status = leveldb::RepairDB(options_.directory, options);
  std::error_code error;
  const std::string lost = options_.directory + "/lost";
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(lost, error)) paths.push_back(entry.path().string());
  for (const std::string& path : paths) options_.damaged->SetAside(path, /*move=*/true);
  if (status.ok()) return absl::OkStatus();
  return absl::UnavailableError(
      fmt::format("the database in {} can't be repaired: {}", options_.directory, status.ToString()));
}

absl::Status LevelDb::Write(leveldb::WriteBatch* batch, bool sync) {
  leveldb::WriteOptions options;
  options.sync = sync;
  return FromLevelDb(db_->Write(options, batch));
}

absl::StatusOr<std::string> LevelDb::Get(std::string_view key) const {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  std::string value;
  RETURN_IF_ERROR(FromLevelDb(db_->Get(options, {key.data(), key.size()}, &value)));
  return value;
}

std::unique_ptr<leveldb::Iterator> LevelDb::NewIterator(bool checked) const {
  leveldb::ReadOptions options;
  options.verify_checksums = checked;
  options.fill_cache = checked;  // Blocks of records are read once, they would only push the rest out.
  return std::unique_ptr<leveldb::Iterator>(db_->NewIterator(options));
}

}  // namespace holdfast::store
