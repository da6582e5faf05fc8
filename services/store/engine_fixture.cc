#include "services/store/engine_fixture.h"

#include <unistd.h>

#include <fstream>
#include <iterator>

#include "lib/base/status.h"

namespace holdfast::store {
namespace {

constexpr size_t kSectorBytes = 512;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A share `keep` of all numbers, the same in every run.
bool Chosen(size_t number, double keep) {
  return static_cast<double>(number * 2'654'435'761 % 1000) < keep * 1000;
}

}  // namespace

FaultEnv::FaultEnv() : EnvWrapper(leveldb::Env::Default()), disk_(std::make_unique<FaultDisk>(this)) {}
FaultEnv::~FaultEnv() = default;

class FaultFile final : public leveldb::WritableFile {
 public:
  FaultFile(FaultEnv* env, std::string path, leveldb::WritableFile* file)
      : env_(env), path_(std::move(path)), file_(file) {}

  leveldb::Status Append(const leveldb::Slice& data) override {
    if (leveldb::Status s = env_->Count(); !s.ok()) return s;
    {
      absl::MutexLock lock(&env_->mutex_);
      env_->files_[path_].written += data.size();
      if (path_.ends_with(".ldb")) env_->table_bytes_[path_] += data.size();
    }
    return file_->Append(data);
  }
  leveldb::Status Close() override { return file_->Close(); }
  leveldb::Status Flush() override { return file_->Flush(); }
  leveldb::Status Sync() override {
    if (leveldb::Status s = env_->Count(); !s.ok()) return s;
    leveldb::Status s = file_->Flush();  // What is on disk after a power cut is decided in DropUnsynced().
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

uint64_t FaultEnv::table_bytes(std::string_view part) const {
  absl::MutexLock lock(&mutex_);
  uint64_t bytes = 0;
  for (const auto& [path, written] : table_bytes_) bytes += path.find(part) != std::string::npos ? written : 0;
  return bytes;
}

leveldb::Status FaultEnv::Count() {
  absl::MutexLock lock(&mutex_);
  ++operations_;
  if (fail_at_ >= 0 && operations_ > fail_at_) return leveldb::Status::IOError("No space left on device");
  return leveldb::Status::OK();
}

void FaultEnv::DropUnsynced(double keep) {
  disk_->Cut(keep);
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

class FaultDiskFile final : public Disk::File {
 public:
  FaultDiskFile(FaultDisk* disk, std::unique_ptr<Disk::File> file, std::shared_ptr<FaultDisk::Content> content)
      : disk_(*disk), file_(std::move(file)), content_(std::move(content)) {}

  absl::Status Write(uint64_t offset, std::string_view data) override {
    RETURN_IF_ERROR(disk_.Count());
    return file_->Write(offset, data);
  }
  absl::Status Sync() override {
    RETURN_IF_ERROR(disk_.Count());
    absl::MutexLock lock(&disk_.mutex_);
    content_->synced = ReadFile(content_->path);
    return absl::OkStatus();
  }
  absl::Status Truncate(uint64_t size) override {
    RETURN_IF_ERROR(disk_.Count());
    return file_->Truncate(size);
  }

 private:
  FaultDisk& disk_;
  const std::unique_ptr<Disk::File> file_;
  const std::shared_ptr<FaultDisk::Content> content_;
};

absl::Status FaultDisk::Count() {
  return env_.Count().ok() ? absl::OkStatus() : absl::ResourceExhaustedError("No space left on device");
}

absl::StatusOr<std::unique_ptr<Disk::File>> FaultDisk::Open(const std::string& path, bool create) {
  if (create) RETURN_IF_ERROR(Count());
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, Disk::System()->Open(path, create));
  absl::MutexLock lock(&mutex_);
  auto& content = contents_[path];
  if (create || content == nullptr) {
    content = std::make_shared<Content>(Content{path, create ? "" : ReadFile(path)});
    if (create) unsynced_names_.push_back({"", path});
  }
  return std::make_unique<FaultDiskFile>(this, std::move(file), content);
}

absl::Status FaultDisk::Rename(const std::string& from, const std::string& to) {
  RETURN_IF_ERROR(Count());
  RETURN_IF_ERROR(Disk::System()->Rename(from, to));
  absl::MutexLock lock(&mutex_);
  unsynced_names_.push_back({from, to});
  auto node = contents_.extract(from);
  if (node.empty()) return absl::OkStatus();
  node.key() = to;
  node.mapped()->path = to;
  contents_.erase(to);
  contents_.insert(std::move(node));
  return absl::OkStatus();
}

absl::Status FaultDisk::Remove(const std::string& path) {
  RETURN_IF_ERROR(Count());
  absl::MutexLock lock(&mutex_);
  contents_.erase(path);
  return Disk::System()->Remove(path);
}

absl::Status FaultDisk::SyncDirectory(const std::string& path) {
  RETURN_IF_ERROR(Count());
  absl::MutexLock lock(&mutex_);
  unsynced_names_.clear();
  return absl::OkStatus();
}

// The journal of a file system keeps names in order: some of the first ones are there.
void FaultDisk::Cut(double keep) {
  absl::MutexLock lock(&mutex_);
  for (const auto& [path, content] : contents_) {
    if (std::filesystem::exists(path)) CutFile(*content, keep);
  }
  const auto kept = static_cast<size_t>(static_cast<double>(unsynced_names_.size()) * keep);
  while (unsynced_names_.size() > kept) {
    const Naming naming = unsynced_names_.back();
    unsynced_names_.pop_back();
    std::error_code error;
    if (naming.from.empty()) {
      std::filesystem::remove(naming.to, error);
    } else if (std::filesystem::exists(naming.to, error) && !std::filesystem::exists(naming.from, error)) {
      std::filesystem::rename(naming.to, naming.from, error);
    }
  }
  contents_.clear();
  unsynced_names_.clear();
}

void FaultDisk::CutFile(const Content& content, double keep) const {
  const std::string written = ReadFile(content.path);
  std::string left = content.synced;
  if (keep > 0) left.resize(written.size());  // The new size is there before the content is.
  for (size_t at = 0; at < std::min(left.size(), written.size()); at += kSectorBytes) {
    if (Chosen(at / kSectorBytes, keep)) left.replace(at, kSectorBytes, written.substr(at, kSectorBytes));
  }
  std::ofstream(content.path, std::ios::binary | std::ios::trunc) << left;
}

}  // namespace holdfast::store
