#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/unique_fd.h"

namespace holdfast {

// Waits for a file to be written or replaced (inotify on its folder, since editors and deployment tools rename a new
// file over the old one), for Wake(), or for a time. One thread waits; Wake() is thread-safe.
class FileWatch {
 public:
  // "" = no file: only Wake() and time. A folder that does not exist is tried again at each Wait().
  explicit FileWatch(const std::string& path);

  enum class Event { kTimeout, kFile, kWake };
  Event Wait(absl::Duration timeout);

  void Wake();

 private:
  void AddWatch();
  // Reads the waiting events; true if one of them was about our file.
  bool DrainInotify();

  const std::string folder_;
  const std::string name_;
  bool is_watching_ = false;
  const UniqueFd inotify_;
  const UniqueFd wake_;
};

}  // namespace holdfast
