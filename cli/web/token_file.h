#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace holdfast::web {

// The token with which one logs in: the content of the file, without white space at its ends. Makes the file (0600, its
// folder 0700) with a new random token if there is none. FAILED_PRECONDITION if others may read it; INVALID_ARGUMENT if
// what is in it is no token: 22-256 characters out of A-Z a-z 0-9 - _.
absl::StatusOr<std::string> ReadOrMakeToken(const std::string& path);

}  // namespace holdfast::web
