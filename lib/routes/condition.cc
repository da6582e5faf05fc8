#include "lib/routes/condition.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/routes/evaluator.h"
#include "lib/routes/parser.h"
#include "lib/routes/program.h"
#include "lib/routes/type_check.h"

namespace holdfast::routes {
namespace {

absl::Status Refuse(CompileError found, CompileError* error) {
  absl::Status status = absl::InvalidArgumentError(found.Text());
  if (error != nullptr) *error = std::move(found);
  return status;
}

// Why a property of that name is hardly meant; empty if it may be.
std::string_view Oddity(std::string_view name) {
  if (name.starts_with('!') || name.ends_with('!')) return "an operator was meant: a blank is missing";
  if (name.find_first_of("+*|%") != std::string_view::npos)
    return "an operator was meant: blanks are missing around it";
  const bool digits = name.find_first_not_of("0123456789.-") == std::string_view::npos;
  return digits ? "a difference of numbers was meant: blanks are missing around the -" : "";
}

}  // namespace

std::string_view Text(Truth truth) {
  switch (truth) {
    case Truth::kFalse:
      return "false";
    case Truth::kTrue:
      return "true";
    case Truth::kUndefined:
      return "undefined";
  }
  return "";
}

std::string CompileError::Text() const {
  return fmt::format("column {}: {}{}", column, message, hint.empty() ? "" : fmt::format(" ({})", hint));
}

Condition::Condition(const Expression* tree, const Options& options)
    : program_(std::make_shared<const Program>(Flatten(tree, options))) {}

absl::StatusOr<Condition> Condition::Compile(std::string_view text, const Options& options, CompileError* error) {
  if (text.size() > kRouteBytesMax) {
    return Refuse({1, fmt::format("{} bytes long, {} are allowed", text.size(), kRouteBytesMax), ""}, error);
  }
  Lexer lexer(text);
  if (lexer.current().kind == TokenKind::kEnd) return Condition(nullptr, options);
  Parser parser(&lexer);
  const std::unique_ptr<Expression> tree = parser.ParseExpression();
  if (tree == nullptr || !parser.CheckEnd(/*in_route=*/false)) return Refuse(parser.error(), error);
  CompileError mismatch;
  if (!CheckTypes(text, tree.get(), &mismatch)) return Refuse(std::move(mismatch), error);
  return Condition(tree.get(), options);
}

Truth Condition::Evaluate(const Message& message) const {
  MessageBody body(message);
  return Evaluate(message, body);
}

Truth Condition::Evaluate(const Message& message, MessageBody& body) const {
  return Evaluator(*program_, message, body).Run();
}

bool Condition::looks_at_body() const {
  return !program_->paths.empty();
}

std::vector<std::string> Condition::Warnings() const {
  std::vector<std::string> warnings;
  for (const Node& node : program_->nodes) {
    if (node.op != Op::kProperty) continue;
    const std::string_view oddity = Oddity(node.text);
    if (!oddity.empty())
      warnings.push_back(fmt::format("{} is read as the name of a property; maybe {}", node.text, oddity));
  }
  return warnings;
}

}  // namespace holdfast::routes
