// A request by HTTPS and its answer, as endpoints see them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"

namespace holdfast::router {

struct HttpRequest {
  std::string method;
  // What stands for the names in the endpoint's pattern, percent-decoded, in order.
  std::vector<std::string> names;
  // Behind '?', as it came.
  std::string query;
  std::string body;
  std::string peer;
  // All that the client showed, leaf first, DER; empty if nothing.
  std::vector<std::string> certificate_chain;
  // Of Authorization and of x-ms-edge-moduleId; "" if absent.
  std::string authorization;
  std::string caller;
};

struct HttpResponse {
  int status = 200;
  // JSON; may be empty.
  std::string body;
  // Whole seconds; zero: no header Retry-After.
  absl::Duration retry_after = absl::ZeroDuration();
  // There are keys in the body (P6): overwritten once it is sent, or can't be.
  bool is_secret = false;
};

// An error as the contract has it: {"message": …}.
HttpResponse HttpError(int status, std::string_view message);

}  // namespace holdfast::router
