// The path of a body query, `$body.a.b[0].c` (IoT Edge contract C4).
#pragma once

#include <string>
#include <string_view>

#include "lib/routes/expression.h"

namespace holdfast::routes {

// "$body.", compared ignoring case: a name that begins with it is a body query.
inline constexpr std::string_view kBodyPrefix = "$body.";
// Keys in a path at most.
inline constexpr size_t kPathStepsMax = 64;

// `text` is what stands behind `$body.`: keys separated by dots, each with at most one [n]. On an error false, with the
// byte of `text` where it is and what is wrong.
bool ParseBodyPath(std::string_view text, BodyPath* path, size_t* error_offset, std::string* error);

}  // namespace holdfast::routes
