// Evaluates a flattened condition (IoT Edge contract C3-C5).
#pragma once

#include <array>
#include <cstddef>
#include <memory_resource>

#include "lib/routes/condition.h"
#include "lib/routes/message.h"
#include "lib/routes/message_body.h"
#include "lib/routes/program.h"
#include "lib/routes/value.h"

namespace holdfast::routes {

// For one evaluation. Not thread-safe.
class Evaluator {
 public:
  Evaluator(const Program& program, const Message& message, MessageBody& body)
      : program_(program), message_(message), body_(body) {}

  Truth Run();

 private:
  Value Evaluate(const Node& node);
  Value Operand(const Node& node, size_t i) {
    return Evaluate(program_.nodes[program_.operands[node.first_operand + i]]);
  }
  const Node& OperandNode(const Node& node, size_t i) const {
    return program_.nodes[program_.operands[node.first_operand + i]];
  }

  Value Leaf(const Node& node);
  Value Not(const Node& node);
  Value And(const Node& node);
  Value Or(const Node& node);
  Value Coalesce(const Node& node);
  Value Arithmetic(const Node& node);
  Value Compare(const Node& node);
  Value Concat(const Node& node);
  Value IsNull(const Node& node);
  Value Math(const Node& node);
  Value OneText(const Node& node);
  Value TwoTexts(const Node& node);
  Value Substring(const Node& node);
  // Keeps a text of its own as long as the evaluator.
  Value Keep(std::pmr::string text);

  const Program& program_;
  const Message& message_;
  MessageBody& body_;
  std::array<std::byte, Condition::kScratchBytes> inline_;
  std::pmr::monotonic_buffer_resource scratch_{inline_.data(), inline_.size()};
};

}  // namespace holdfast::routes
