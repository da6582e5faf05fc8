#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace holdfast::cli {

// A device that `holdfast dev` made.
struct DevDevice {
  std::string id;
  std::string key;  // base64
};

// The gateway's own device, whose modules run beside it.
inline constexpr char kOwnDevice[] = "edge1";

// A module of kOwnDevice, with a key of its own.
struct DevModule {
  std::string id;
  std::string generation_id;
};

// 32 random bytes, base64.
absl::StatusOr<std::string> NewDeviceKey();

}  // namespace holdfast::cli
