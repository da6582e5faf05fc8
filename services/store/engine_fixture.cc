#include "services/store/engine_fixture.h"

#include <unistd.h>

namespace holdfast::store {

class FaultFile final : public leveldb::WritableFile {
 public:
  FaultFile(FaultEnv* env, std::string path, leveldb::WritableFile* file)
      : env_(env), path_(std::move(path)), file_(file) {}

  leveldb::Status Append(const leveldb::Slice& data) override {
    if (leveldb::Status s = env_->Count(); !s.ok()) return s;
    {
      absl::MutexLock lock(&env_->mutex_);
      env_->files_[path_].written += data.size();
    }
    return file_->Append(data);
  }
  leveldb::Status Close() override { return file_->Close(); }
  leveldb::Status Flush() override { return file_->Flush(); }
  leveldb::Status Sync() override {
    if (leveldb::Status s = env_->Count(); !s.ok()) return s;
    leveldb::Status s = file_->Sync();
    absl::MutexLock lock(&env_->mutex_);
    auto& sizes = env_->files_[path_];
    if (s.ok()) sizes.synced = sizes.written;
    return s;
  }

 private:
  FaultEnv* const env_;
  const std::string path_;
  const std::unique_ptr<leveldb::WritableFile> file_;
};

void FaultEnv::FailAfter(int64_t operations) {
  absl::MutexLock lock(&mutex_);
  fail_at_ = operations < 0 ? -1 : operations_ + operations;
}

int64_t FaultEnv::operations() const {
  absl::MutexLock lock(&mutex_);
  return operations_;
}

leveldb::Status FaultEnv::Count() {
  absl::MutexLock lock(&mutex_);
  ++operations_;
  if (fail_at_ >= 0 && operations_ > fail_at_) return leveldb::Status::IOError("No space left on device");
  return leveldb::Status::OK();
}

void FaultEnv::DropUnsynced(double keep) {
  absl::MutexLock lock(&mutex_);
  for (const auto& [path, sizes] : files_) {
    const auto kept = sizes.synced + static_cast<uint64_t>(static_cast<double>(sizes.written - sizes.synced) * keep);
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    if (error || size <= kept) continue;
    EXPECT_EQ(::truncate(path.c_str(), static_cast<off_t>(kept)), 0);
  }
  files_.clear();
}

leveldb::Status FaultEnv::NewWritableFile(const std::string& path, leveldb::WritableFile** result) {
  *result = nullptr;
  if (leveldb::Status s = Count(); !s.ok()) return s;
  leveldb::WritableFile* file = nullptr;
  if (leveldb::Status s = target()->NewWritableFile(path, &file); !s.ok()) return s;
  {
    absl::MutexLock lock(&mutex_);
    files_[path] = {};
  }
  *result = new FaultFile(this, path, file);
  return leveldb::Status::OK();
}

leveldb::Status FaultEnv::NewAppendableFile(const std::string& path, leveldb::WritableFile** result) {
  return NewWritableFile(path, result);
}

leveldb::Status FaultEnv::RemoveFile(const std::string& path) {
  if (leveldb::Status s = Count(); !s.ok()) return s;
  {
    absl::MutexLock lock(&mutex_);
    files_.erase(path);
  }
  return target()->RemoveFile(path);
}

leveldb::Status FaultEnv::RenameFile(const std::string& from, const std::string& to) {
  if (leveldb::Status s = Count(); !s.ok()) return s;
  absl::MutexLock lock(&mutex_);
  if (const auto it = files_.find(from); it != files_.end()) {
    files_[to] = it->second;
    files_.erase(from);
  }
  return target()->RenameFile(from, to);
}

}  // namespace holdfast::store
