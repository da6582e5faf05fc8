#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace holdfast::systest {

struct HttpResult {
  int status = 0;
  std::string body;
};

// One request in the clear to 127.0.0.1:port, blocking. UNAVAILABLE without an answer. Beast is in the .cc only.
absl::StatusOr<HttpResult> HttpRequest(int port, std::string_view method, const std::string& target,
                                       const std::string& body);

}  // namespace holdfast::systest
