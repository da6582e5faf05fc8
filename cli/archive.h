// Archives of small texts, by libarchive.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace holdfast::cli {

struct ArchiveMember {
  std::string name;  // "status.json", "metrics/store.txt"
  std::string content;
};

// Writes `members` in a folder `root` as a gzipped tar to `path`, which appears whole or not at all, readable by its
// owner only. One that exists is replaced. Errors are the system's, with the path.
absl::Status WriteTarGz(const std::string& path, const std::string& root, const std::vector<ArchiveMember>& members,
                        absl::Time now);

// "libarchive 3.6.2".
std::string ArchiveLibraryVersion();

}  // namespace holdfast::cli
