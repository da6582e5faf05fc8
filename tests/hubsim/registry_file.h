#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/hubsim/registry.h"
#include "tests/hubsim/twins.h"

namespace holdfast::hubsim {

// The file that registry and twins are read from at the start, and written to if asked. Not thread-safe.
class RegistryFile {
 public:
  // An empty path: no file.
  RegistryFile(std::string path, bool save) : path_(std::move(path)), save_(save) {}

  // With `save`, a file that is not there is an empty registry. The error names the file.
  absl::Status Load(absl::Time now, Registry* registry, Twins* twins) const;
  // Replaces the file at once, as a whole. A failure is logged, and tried again at the next change.
  void Save(const Registry& registry, const Twins& twins) const;

 private:
  const std::string path_;
  const bool save_;
};

}  // namespace holdfast::hubsim
