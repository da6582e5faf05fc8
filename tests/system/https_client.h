#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace holdfast::systest {

struct HttpsRequest {
  int port = 0;
  std::string ca_file;  // that "localhost" is verified with
  std::string method = "GET";
  std::string target;
  std::string authorization;  // empty: no such header
  std::string body;
};
struct HttpsAnswer {
  int status = 0;
  std::string body;
  std::string retry_after;  // the header
};

// One request to localhost over TLS, blocking. UNAVAILABLE without an answer. Beast is in the .cc only.
absl::StatusOr<HttpsAnswer> Ask(const HttpsRequest& request);

}  // namespace holdfast::systest
