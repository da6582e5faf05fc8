// A condition in the form in which it is evaluated: a flat array of nodes, operands before what uses them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/routes/condition.h"
#include "lib/routes/expression.h"

namespace holdfast::routes {

struct Node {
  Op op = Op::kUndefined;
  Type type = Type::kUndefined;
  // Of the first operand.
  Type operand_type = Type::kUndefined;
  // kBool; kBody: an application property of that name wins.
  bool flag = false;
  // Operands are nodes[operands[first_operand + i]].
  uint32_t first_operand = 0;
  uint32_t operand_count = 0;
  // kBody: into paths.
  uint32_t path = 0;
  double number = 0;
  std::string text;
};

// Immutable, thread-safe.
struct Program {
  std::vector<Node> nodes;
  std::vector<uint32_t> operands;
  std::vector<BodyPath> paths;
  bool strict_compat = true;
  // The last node is the root; none: an empty condition.
};

// `tree` must have its types; nullptr is an empty condition.
Program Flatten(const Expression* tree, const Options& options);

}  // namespace holdfast::routes
