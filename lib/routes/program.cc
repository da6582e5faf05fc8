#include "lib/routes/program.h"

namespace holdfast::routes {
namespace {

// Appends the tree; returns the index of its node.
uint32_t Append(const Expression& tree, Program* program) {
  std::vector<uint32_t> operands;
  operands.reserve(tree.operands.size());
  for (const auto& operand : tree.operands) operands.push_back(Append(*operand, program));
  Node node{.op = tree.op,
            .type = tree.type,
            .operand_type = operands.empty() ? Type::kUndefined : tree.operands[0]->type,
            .flag = tree.boolean,
            .first_operand = static_cast<uint32_t>(program->operands.size()),
            .operand_count = static_cast<uint32_t>(operands.size()),
            .number = tree.number,
            .text = tree.text};
  program->operands.insert(program->operands.end(), operands.begin(), operands.end());
  if (tree.op == Op::kBody) {
    node.flag = tree.with_property;
    node.path = static_cast<uint32_t>(program->paths.size());
    program->paths.push_back(tree.path);
  }
  // What is undefined by its type needs no evaluation.
  if (tree.type == Type::kUndefined) node.op = Op::kUndefined;
  program->nodes.push_back(std::move(node));
  return static_cast<uint32_t>(program->nodes.size() - 1);
}

}  // namespace

Program Flatten(const Expression* tree, const Options& options) {
  Program program{.strict_compat = options.strict_compat};
  if (tree != nullptr) Append(*tree, &program);
  return program;
}

}  // namespace holdfast::routes
