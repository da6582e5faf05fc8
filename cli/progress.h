#pragma once

#include <string_view>

#include "absl/time/time.h"

namespace holdfast::cli {

// A line on stderr that is written over as work gets on; nothing if that is no terminal. Not thread-safe.
class Progress {
 public:
  Progress();
  ~Progress() { End(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // A few times a second at most; what comes between is left out.
  void Show(std::string_view text);
  // Takes the line away.
  void End();

 private:
  const bool terminal_;
  bool shown_ = false;
  absl::Time next_ = absl::InfinitePast();
};

}  // namespace holdfast::cli
