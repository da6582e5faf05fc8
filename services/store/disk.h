#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace holdfast::store {

// What write-ahead logs need of the disk and LevelDB's Env does not have: writing at an offset, and directories that
// can be synced. A test puts a disk under it that fails on demand and forgets what was not synced. Thread-safe; a file
// is used by one thread at a time.
class Disk {
 public:
  class File {
   public:
    virtual ~File() = default;
    // All of it or an error.
    virtual absl::Status Write(uint64_t offset, std::string_view data) = 0;
    // Content and size are on disk when it returns; the name may not be (SyncDirectory).
    virtual absl::Status Sync() = 0;
    virtual absl::Status Truncate(uint64_t size) = 0;
  };

  virtual ~Disk() = default;

  // For writing. `create`: made, or emptied if it is there; else NOT_FOUND if it is not there.
  virtual absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, bool create) = 0;
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;
  virtual absl::Status SyncDirectory(const std::string& path) = 0;
  // Bytes free for us on the disk of `path`; UINT64_MAX if that can't be told.
  virtual uint64_t FreeBytes(const std::string& path) = 0;

  // The machine's.
  static Disk* System();
};

}  // namespace holdfast::store
