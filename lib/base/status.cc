#include "lib/base/status.h"

#include <fmt/format.h>

#include <cstring>

namespace holdfast {

absl::Status Annotate(const absl::Status& status, const std::string& context) {
  if (status.ok()) return status;
  const absl::string_view message = status.message();
  return absl::Status(status.code(), fmt::format("{}: {}", context, std::string_view(message.data(), message.size())));
}

absl::Status ErrnoStatus(int error, const std::string& what) {
  return absl::ErrnoToStatus(error, what);
}

}  // namespace holdfast
