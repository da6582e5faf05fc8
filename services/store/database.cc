#include "services/store/database.h"

#include <fmt/format.h>
#include <leveldb/cache.h>
#include <leveldb/env.h>
#include <leveldb/iterator.h>
#include <leveldb/write_batch.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "services/store/disk_format.h"
#include "services/store/level_db.h"

namespace holdfast::store {
namespace {

// Of the database without blocks. Its logs are written with every batch, and it has few tables.
constexpr size_t kRestBufferBytes = 1 << 20;
constexpr int kRestOpenFilesMax = 74;
// So many batches may have to be looked for after a crash.
constexpr uint32_t kWaitingBatchesMax = 256;
// So many blocks wait for a batch with new ones to be deleted along with.
constexpr size_t kDeletedMax = 128;
constexpr size_t kMovedBytes = 4 << 20;

leveldb::Slice ToSlice(std::string_view text) {
  return {text.data(), text.size()};
}
std::string_view ToView(const leveldb::Slice& slice) {
  return {slice.data(), slice.size()};
}

absl::Status Closed() {
  return absl::UnavailableError("the database is being reopened; retry");
}

void Add(const Change& change, leveldb::WriteBatch* batch) {
  if (change.value) {
    batch->Put(ToSlice(change.key), ToSlice(*change.value));
  } else {
    batch->Delete(ToSlice(change.key));
  }
}

// False if it is not of this format.
bool AddChanges(std::string_view changes, leveldb::WriteBatch* batch) {
  const auto decoded = DecodeChanges(changes);
  if (!decoded) return false;
  for (const Change& change : *decoded) Add(change, batch);
  return true;
}

bool IsOfBlock(std::string_view key) {
  return key.starts_with(kBlockPrefix);
}

std::string BehindAll(std::string_view prefix) {
  std::string behind(prefix);
  while (!behind.empty() && static_cast<unsigned char>(behind.back()) == 0xff) behind.pop_back();
  if (!behind.empty()) behind.back() = static_cast<char>(behind.back() + 1);
  return behind;
}

void SeekBeforeKey(std::string_view key, leveldb::Iterator* iterator) {
  iterator->Seek(ToSlice(key));
  if (iterator->Valid()) {
    iterator->Prev();
  } else {
    iterator->SeekToLast();
  }
}

}  // namespace

Batch::Batch() : blocks_(std::make_unique<leveldb::WriteBatch>()) {}
Batch::~Batch() = default;
Batch::Batch(Batch&&) noexcept = default;
Batch& Batch::operator=(Batch&&) noexcept = default;

void Batch::Put(std::string_view key, std::string_view value) {
  ++count_;
  bytes_ += key.size() + value.size();
  if (!IsOfBlock(key)) return AppendPut(key, value, &rest_);
  blocks_->Put(ToSlice(key), ToSlice(value));
  rewrites_ = true;
}

void Batch::Append(std::string_view key, std::string_view value) {
  ++count_;
  bytes_ += key.size() + value.size();
  blocks_->Put(ToSlice(key), ToSlice(value));
  newest_[std::string(LanePrefixOf(key))] = key;
}

void Batch::Delete(std::string_view key) {
  ++count_;
  bytes_ += key.size();
  if (!IsOfBlock(key)) return AppendDelete(key, &rest_);
  deleted_blocks_.emplace_back(key);
}

Database::Database(const Options& options)
    : options_(options),
      cache_(leveldb::NewLRUCache(options.block_cache_bytes)),
      damaged_(options.damaged_directory),
      blocks_(std::make_unique<LevelDb>(
          LevelDb::Options{.directory = options.blocks_directory,
                           .write_buffer_bytes = options.write_buffer_bytes,
                           .file_bytes_max = options.file_bytes_max,
                           .open_files_max = options.open_files_max,
                           .cache = cache_.get(),
                           .env = options.env != nullptr ? options.env : leveldb::Env::Default(),
                           .disk = options.disk != nullptr ? options.disk : Disk::System(),
                           .damaged = &damaged_,
                           .on_repair = [this] { RememberRepaired(); }})),
      rest_(std::make_unique<LevelDb>(
          LevelDb::Options{.directory = options.directory,
                           .write_buffer_bytes = std::min(options.write_buffer_bytes, kRestBufferBytes),
                           .file_bytes_max = options.file_bytes_max,
                           .open_files_max = kRestOpenFilesMax,
                           .cache = cache_.get(),
                           .env = options.env != nullptr ? options.env : leveldb::Env::Default(),
                           .disk = options.disk != nullptr ? options.disk : Disk::System(),
                           .damaged = &damaged_,
                           .on_repair = [this] { RememberRepaired(); }})) {}

Database::~Database() {
  absl::MutexLock lock(&mutex_);
  if (open_ && !failed_) {
    if (const absl::Status status = Finish(); !status.ok()) {
      spdlog::warn("the next start looks for what this one left error={}", Text(status));
    }
  }
  blocks_->Close();
  rest_->Close();
}

absl::Status Database::Finish() {
  if (!deleted_.empty()) {
    leveldb::WriteBatch blocks;
    leveldb::WriteBatch rest;
    RETURN_IF_ERROR(WriteRest("", &rest));
    RETURN_IF_ERROR(WriteBlocks(&blocks));
  }
  leveldb::WriteBatch closed;
  closed.Put(ToSlice(kClosedKey), "");
  return WriteRest("", &closed);
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const Options& options) {
  std::unique_ptr<Database> database(new Database(options));
  std::error_code error;
  database->repaired_ = std::filesystem::exists(database->RepairedMark(), error);
  RETURN_IF_ERROR(database->Reopen(/*repair=*/false));
  return database;
}

absl::Status Database::Reopen(bool repair) {
  absl::MutexLock lock(&mutex_);
  open_ = false;
  blocks_->Close();
  rest_->Close();
  RETURN_IF_ERROR(OpenLocked(repair));
  open_ = true;
  failed_ = false;
  return absl::OkStatus();
}

absl::Status Database::OpenLocked(bool repair) {
  RETURN_IF_ERROR(rest_->Open(repair));
  RETURN_IF_ERROR(blocks_->Open(repair));
  return Recover();
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

absl::Status Database::Recover() {
  waiting_.clear();
  waiting_batches_ = 0;
  needed_riders_.clear();
  deleted_.clear();
  number_ = 0;
  const auto number = rest_->Get(kAppliedKey);
  if (number.ok()) number_ = DecodeNumber(*number).value_or(0);
  RETURN_IF_ERROR(FinishIntent());
  RETURN_IF_ERROR(MoveBlocksOfOldFormat());
  unclean_ = !rest_->Get(kClosedKey).ok();
  if (unclean_) return ApplyRiders();
  leveldb::WriteBatch opened;
  opened.Delete(ToSlice(kClosedKey));
  return rest_->Write(&opened, /*sync=*/true);
}

absl::Status Database::FinishIntent() {
  const auto intent = rest_->Get(kIntentKey);
  if (absl::IsNotFound(intent.status())) return absl::OkStatus();
  leveldb::WriteBatch blocks;
  if (!intent.ok() || !AddChanges(*intent, &blocks)) {
    RememberRepaired();
  } else {
    RETURN_IF_ERROR(blocks_->Write(&blocks, /*sync=*/true));
  }
  leveldb::WriteBatch done;
  done.Delete(ToSlice(kIntentKey));
  return rest_->Write(&done, /*sync=*/true);
}

// Blocks lay beside everything else before they had a database of their own.
absl::Status Database::MoveBlocksOfOldFormat() {
  uint64_t moved = 0;
  for (;;) {
    leveldb::WriteBatch put;
    leveldb::WriteBatch remove;
    size_t bytes = 0;
    const auto iterator = rest_->NewIterator(/*checked=*/false);
    for (iterator->Seek(ToSlice(kBlockPrefix)); iterator->Valid() && IsOfBlock(ToView(iterator->key()));
         iterator->Next()) {
      put.Put(iterator->key(), iterator->value());
      remove.Delete(iterator->key());
      bytes += iterator->value().size();
      ++moved;
      if (bytes >= kMovedBytes) break;
    }
    if (bytes == 0) break;
    RETURN_IF_ERROR(blocks_->Write(&put, /*sync=*/true));
    RETURN_IF_ERROR(rest_->Write(&remove, /*sync=*/true));
  }
  if (moved > 0) spdlog::info("blocks moved to a database of their own blocks={}", moved);
  return absl::OkStatus();
}

absl::Status Database::ApplyRiders() {
  std::map<uint64_t, std::string> changes;
  uint64_t newest = number_;
  bool damaged = false;
  const auto iterator = blocks_->NewIterator(/*checked=*/true);
  iterator->Seek(ToSlice(kBlockPrefix));
  while (iterator->Valid()) {
    const std::string lane(LanePrefixOf(ToView(iterator->key())));
    const std::string behind = BehindAll(lane);
    SeekBeforeKey(behind, iterator.get());
    for (size_t steps = 0; iterator->Valid() && ToView(iterator->key()).starts_with(lane) && steps <= kAppendsMax;
         iterator->Prev()) {
      if (!IsRiderKey(ToView(iterator->key()))) {
        ++steps;
        continue;
      }
      const auto rider = DecodeRider(ToView(iterator->value()));
      if (!rider) damaged = true;
      if (!rider || rider->number <= number_) break;
      newest = std::max(newest, rider->number);
      if (!rider->changes.empty()) changes.emplace(rider->number, rider->changes);
      steps = 0;
    }
    damaged = damaged || !iterator->status().ok();
    iterator->Seek(ToSlice(behind));
  }
  leveldb::WriteBatch rest;
  for (const auto& [number, of_batch] : changes) damaged = !AddChanges(of_batch, &rest) || damaged;
  // Each number has its changes, at least of the store's own record.
  if (damaged || changes.size() != newest - number_) RememberRepaired();
  if (newest > number_) spdlog::debug("applied what came with the last blocks batches={}", changes.size());
  number_ = newest;
  rest.Put(ToSlice(kAppliedKey), EncodeNumber(number_));
  return rest_->Write(&rest, /*sync=*/true);
}

absl::Status Database::Write(Batch* batch) {
  absl::ReaderMutexLock lock(&mutex_);
  if (!open_) return Closed();
  // The one of the two that did not fail would take it.
  if (failed_) return absl::InternalError("an earlier write failed; the database must be opened again");
  absl::Status status = Dispatch(batch);
  failed_ = failed_ || !status.ok();
  return status;
}

absl::Status Database::Dispatch(Batch* batch) {
  deleted_.insert(deleted_.end(), batch->deleted_blocks_.begin(), batch->deleted_blocks_.end());
  if (!batch->newest_.empty()) return WriteWithRiders(batch);
  if (batch->rewrites_) return WriteWithIntent(batch);
  leveldb::WriteBatch rest;
  RETURN_IF_ERROR(WriteRest(batch->rest_, &rest));
  if (deleted_.size() < kDeletedMax) return absl::OkStatus();
  leveldb::WriteBatch blocks;
  return WriteBlocks(&blocks);
}

absl::Status Database::WriteWithRiders(Batch* batch) {
  const uint64_t number = ++number_;
  std::string_view changes = batch->rest_;
  for (const auto& [lane, newest] : batch->newest_) {
    std::string rider = RiderKey(newest);
    batch->blocks_->Put(rider, EncodeRider({number, std::exchange(changes, {})}));
    needed_riders_.insert(std::move(rider));
  }
  RETURN_IF_ERROR(WriteBlocks(batch->blocks_.get()));
  const auto decoded = DecodeChanges(batch->rest_);
  bool is_read = false;
  for (const Change& change : *decoded) is_read = is_read || !IsReadAfterOpenOnly(change.key);
  if (is_read || ++waiting_batches_ >= kWaitingBatchesMax) {
    leveldb::WriteBatch rest;
    return WriteRest(batch->rest_, &rest);
  }
  for (const Change& change : *decoded) waiting_[std::string(change.key)] = change.value;
  return absl::OkStatus();
}

// Blocks are rewritten seldom: to say that their records are lost.
absl::Status Database::WriteWithIntent(Batch* batch) {
  class Encoder final : public leveldb::WriteBatch::Handler {
   public:
    void Put(const leveldb::Slice& key, const leveldb::Slice& value) override {
      AppendPut(ToView(key), ToView(value), &changes);
    }
    void Delete(const leveldb::Slice& key) override { AppendDelete(ToView(key), &changes); }
    std::string changes;
  } encoder;
  batch->blocks_->Iterate(&encoder);
  leveldb::WriteBatch rest;
  rest.Put(ToSlice(kIntentKey), encoder.changes);
  RETURN_IF_ERROR(WriteRest(batch->rest_, &rest));
  RETURN_IF_ERROR(WriteBlocks(batch->blocks_.get()));
  // Gone before the next batch, or a crash would bring the block back when that one had deleted it.
  leveldb::WriteBatch done;
  done.Delete(ToSlice(kIntentKey));
  return WriteRest("", &done);
}

absl::Status Database::WriteRest(std::string_view changes, leveldb::WriteBatch* rest) {
  for (const auto& [key, value] : waiting_) Add({key, value}, rest);
  AddChanges(changes, rest);
  rest->Put(ToSlice(kAppliedKey), EncodeNumber(number_));
  RETURN_IF_ERROR(rest_->Write(rest, /*sync=*/true));
  waiting_.clear();
  waiting_batches_ = 0;
  needed_riders_.clear();
  return absl::OkStatus();
}

absl::Status Database::WriteBlocks(leveldb::WriteBatch* blocks) {
  std::vector<std::string> kept;
  for (std::string& key : deleted_) {
    const bool is_rider = IsRiderKey(key);
    if (!is_rider) blocks->Delete(key);
    std::string rider = is_rider ? std::move(key) : RiderKey(key);
    if (needed_riders_.contains(rider)) {
      kept.push_back(std::move(rider));
    } else {
      blocks->Delete(rider);
    }
  }
  deleted_ = std::move(kept);
  return blocks_->Write(blocks, /*sync=*/true);
}

LevelDb& Database::DatabaseOf(std::string_view key) const {
  return IsOfBlock(key) ? *blocks_ : *rest_;
}

absl::StatusOr<std::string> Database::Get(std::string_view key) const {
  absl::ReaderMutexLock lock(&mutex_);
  if (!open_) return Closed();
  return DatabaseOf(key).Get(key);
}

Database::Scan::Scan(const Database& database, std::string prefix, bool checked,
                     bool riders) ABSL_NO_THREAD_SAFETY_ANALYSIS : database_(database),
                                                                   prefix_(std::move(prefix)),
                                                                   riders_(riders) {
  database_.mutex_.ReaderLock();
  if (database_.open_) iterator_ = database_.DatabaseOf(prefix_).NewIterator(checked);
}

Database::Scan::~Scan() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  iterator_.reset();
  database_.mutex_.ReaderUnlock();
}

bool Database::Scan::OnHiddenRider() const {
  return !riders_ && iterator_->Valid() && IsRiderKey(key());
}

void Database::Scan::SeekFirst() {
  Seek(prefix_);
}

void Database::Scan::Seek(std::string_view key) {
  if (iterator_ == nullptr) return;
  iterator_->Seek(ToSlice(key));
  while (OnHiddenRider()) iterator_->Next();
}

void Database::Scan::SeekBefore(std::string_view key) {
  if (iterator_ == nullptr) return;
  SeekBeforeKey(key, iterator_.get());
  while (OnHiddenRider()) iterator_->Prev();
}

void Database::Scan::SeekLast() {
  SeekBefore(BehindAll(prefix_));
}

void Database::Scan::Next() {
  iterator_->Next();
  while (OnHiddenRider()) iterator_->Next();
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

leveldb::Env* DefaultEnv() {
  return leveldb::Env::Default();
}

}  // namespace holdfast::store
