// Static types (IoT Edge contract C3): what can't ever be meant is refused when a route is compiled. A property is a
// text, so `3 = name` and `name AND true` are errors, and as_number(name) = 3 is how to write it.
#pragma once

#include <string_view>

#include "lib/routes/condition.h"
#include "lib/routes/expression.h"

namespace holdfast::routes {

// Sets `type` in the whole tree. False on the first mismatch, with what it is; `text` is what offsets count in.
bool CheckTypes(std::string_view text, Expression* tree, CompileError* error);

}  // namespace holdfast::routes
