#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace holdfast::cli {

// A file that appears under its name when it is whole and on disk: until then it is PATH.partial, readable by its owner
// only, and it goes if it is not finished. Or stdout, where a reader sees each part. Not thread-safe.
class WholeFile {
 public:
  // One that exists is replaced by Finish. Errors are the system's, with the path.
  static absl::StatusOr<std::unique_ptr<WholeFile>> Create(const std::string& path);
  static absl::StatusOr<std::unique_ptr<WholeFile>> Stdout();
  ~WholeFile();
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;

  absl::Status Write(std::string_view text);
  absl::Status Finish();

 private:
  WholeFile(std::FILE* file, std::string path) : file_(file), path_(std::move(path)) {}
  absl::Status Error() const;

  std::FILE* file_;
  const std::string path_;  // "" = stdout
};

}  // namespace holdfast::cli
