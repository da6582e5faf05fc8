#pragma once

#include <leveldb/env.h>

namespace holdfast::store {

// LevelDB's POSIX environment with one difference: table files are read with pread(2) instead of mapped into memory, so
// that a large backlog does not count as memory of the process, and so that a bad sector is an I/O error of one read
// instead of a SIGBUS. Thread-safe.
class PreadEnv final : public leveldb::EnvWrapper {
 public:
  explicit PreadEnv(leveldb::Env* target) : EnvWrapper(target) {}

  leveldb::Status NewRandomAccessFile(const std::string& path, leveldb::RandomAccessFile** result) override;
};

}  // namespace holdfast::store
