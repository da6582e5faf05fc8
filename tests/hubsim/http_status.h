#pragma once

#include "absl/status/status.h"
#include "tests/hubsim/http_server.h"

namespace holdfast::hubsim {

// The one place where an error becomes an HTTP status (IoT Hub contract: errors of the REST APIs).
inline int HttpStatus(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kResourceExhausted:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
      return 409;
    case absl::StatusCode::kFailedPrecondition:
      return 412;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

inline HttpResponse ErrorResponse(const absl::Status& status) {
  return ErrorResponse(HttpStatus(status), std::string(status.message()));
}

}  // namespace holdfast::hubsim
