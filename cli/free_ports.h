#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace holdfast::cli {

// TCP ports that nobody of this machine uses now, all different.
absl::StatusOr<std::vector<uint16_t>> FreePorts(size_t count);

// Whether somebody accepts connections on that port of 127.0.0.1.
bool PortAnswers(uint16_t port);

}  // namespace holdfast::cli
