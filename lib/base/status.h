// Two macros that let a function hand a callee's error to its caller in one line. Errors inside Holdfast are
// absl::Status; exceptions of libraries are turned into one in the file that calls the library.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define HF_CONCAT_INNER(a, b) a##b
#define HF_CONCAT(a, b) HF_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expr)                                               \
  do {                                                                      \
    if (absl::Status hf_status = (expr); !hf_status.ok()) return hf_status; \
  } while (false)

#define ASSIGN_OR_RETURN(lhs, expr) HF_ASSIGN_OR_RETURN(HF_CONCAT(hf_statusor_, __LINE__), lhs, expr)
#define HF_ASSIGN_OR_RETURN(tmp, lhs, expr)      \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return std::move(tmp).status(); \
  lhs = *std::move(tmp)

namespace holdfast {

// The same error with "context: " in front of its message. Ok stays ok.
absl::Status Annotate(const absl::Status& status, const std::string& context);

// "what: strerror(errno)" under the canonical code for that errno.
absl::Status ErrnoStatus(int error, const std::string& what);

}  // namespace holdfast
