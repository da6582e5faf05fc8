// The functions of the route language (IoT Edge contract C5).
#pragma once

#include <span>
#include <string_view>

#include "lib/routes/expression.h"

namespace holdfast::routes {

struct Function {
  std::string_view name;
  Op op;
  size_t arguments_min;
  size_t arguments_max;
  // Of each argument; the last one stands for all that follow. kUndefined: any.
  Type parameters[3];
  Type result;
  // For error messages: "substring(text, start[, length])".
  std::string_view usage;
};

// Letter case is ignored. nullptr if there is none of that name.
const Function* FindFunction(std::string_view name);
std::span<const Function> Functions();

}  // namespace holdfast::routes
