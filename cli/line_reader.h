#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace holdfast::cli {

// The lines of a file or of stdin, one after the other, none longer than a bound, and a digest of what was read so far.
// Not thread-safe.
class LineReader {
 public:
  // "-": stdin. Errors are the system's, with the path.
  static absl::StatusOr<std::unique_ptr<LineReader>> Open(const std::string& path, size_t line_bytes_max);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // Without '\n'; valid until the next call. nullopt: the end. RESOURCE_EXHAUSTED: a line is too long.
  absl::StatusOr<std::optional<std::string_view>> Next();
  // Of the line that Next gave last, from 1.
  uint64_t line_number() const { return line_number_; }
  // SHA-256 in hexadecimal of all lines that Next gave.
  std::string digest() const;
  // It can be read again from the start.
  bool seekable() const;

 private:
  struct Digest;
  LineReader(std::FILE* file, std::string path, size_t line_bytes_max);

  std::FILE* const file_;
  const std::string path_;
  const size_t line_bytes_max_;
  std::string line_;
  uint64_t line_number_ = 0;
  const std::unique_ptr<Digest> digest_;
};

}  // namespace holdfast::cli
