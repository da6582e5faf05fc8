#include "lib/rpc/instance_name.h"

#include <fmt/format.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "lib/base/log.h"

namespace holdfast::rpc {
namespace {

constexpr size_t kInstanceBytesMax = 64;
constexpr std::string_view kHostName = "%H";

bool IsAllowed(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
}

}  // namespace

absl::StatusOr<std::string> InstanceName(std::string_view flag) {
  std::string name(flag);
  if (const size_t at = name.find(kHostName); at != std::string::npos) {
    char host[HOST_NAME_MAX + 1] = {};
    ::gethostname(host, sizeof host - 1);
    name.replace(at, kHostName.size(), host);
  }
  if (name.empty() || name.size() > kInstanceBytesMax || name[0] == '.' ||
      !std::all_of(name.begin(), name.end(), IsAllowed)) {
    return absl::InvalidArgumentError(fmt::format(
        "--instance {} is no name of an instance: 1-{} letters, digits, '.', '_' or '-'; %H is the host's name",
        Printable(name), kInstanceBytesMax));
  }
  return name;
}

}  // namespace holdfast::rpc
