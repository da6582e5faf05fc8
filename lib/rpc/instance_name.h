#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace holdfast::rpc {

// The name of a service's instance from what a flag says: `%H` stands for the machine's host name, which in a container
// is the container's id, so that one command line serves every replica. INVALID_ARGUMENT unless the result is 1-64
// letters, digits, '.', '_' or '-', and no dot comes first: it becomes a file's name.
absl::StatusOr<std::string> InstanceName(std::string_view flag);

}  // namespace holdfast::rpc
