#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace holdfast::cli {

// A device that `holdfast dev` made.
struct DevDevice {
  std::string id;
  std::string key;  // base64
};

// 32 random bytes, base64.
absl::StatusOr<std::string> NewDeviceKey();

}  // namespace holdfast::cli
