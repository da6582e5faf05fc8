#include "lib/routes/type_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/routes/function.h"
#include "lib/routes/text.h"

namespace holdfast::routes {
namespace {

std::string_view Name(Type type) {
  switch (type) {
    case Type::kBool:
      return "a truth value";
    case Type::kNumber:
      return "a number";
    case Type::kText:
      return "text";
    case Type::kNull:
      return "null";
    case Type::kUndefined:
      return "undefined";
    case Type::kDynamic:
      return "a body value";
  }
  return "";
}

std::string_view Symbol(Op op) {
  switch (op) {
    case Op::kNegate:
    case Op::kSubtract:
      return "-";
    case Op::kNot:
      return "NOT";
    case Op::kMultiply:
      return "*";
    case Op::kDivide:
      return "/";
    case Op::kModulo:
      return "%";
    case Op::kAdd:
      return "+";
    case Op::kLess:
      return "<";
    case Op::kLessEqual:
      return "<=";
    case Op::kGreater:
      return ">";
    case Op::kGreaterEqual:
      return ">=";
    case Op::kEqual:
      return "=";
    case Op::kNotEqual:
      return "<>";
    case Op::kConcat:
      return "||";
    case Op::kAnd:
      return "AND";
    case Op::kOr:
      return "OR";
    case Op::kCoalesce:
      return "??";
    default:
      return "";
  }
}

bool IsProperty(const Expression& tree) {
  return tree.op == Op::kProperty || tree.op == Op::kDollarProperty || tree.op == Op::kSystemProperty;
}

// As it is written in a condition.
std::string NameOf(const Expression& property) {
  return property.op == Op::kSystemProperty ? "{$" + property.text + "}" : property.text;
}

std::string Describe(const Expression& tree) {
  if (!IsProperty(tree)) return std::string(Name(tree.type));
  return fmt::format("property {}, which is text", NameOf(tree));
}

class TypeChecker {
 public:
  TypeChecker(std::string_view text, CompileError* error) : text_(text), error_(*error) {}

  bool Check(Expression* tree) {
    for (const auto& operand : tree->operands) {
      if (!Check(operand.get())) return false;
    }
    return tree->function != nullptr ? CheckCall(tree) : CheckOperator(tree);
  }

 private:
  bool CheckOperator(Expression* tree);
  bool CheckCall(Expression* tree);
  bool CheckLogic(Expression* tree);
  bool CheckComparison(Expression* tree);
  bool CheckCoalesce(Expression* tree);
  bool CheckNegate(Expression* tree);
  bool CheckNot(Expression* tree);
  // Every operand is of that type or a body value.
  bool CheckOperands(Expression* tree, Type type);
  // What is wrong with one operand of an operator.
  bool Refuse(const Expression& operand, std::string_view symbol, Type expected);
  bool Fail(size_t offset, std::string message, std::string hint);

  const std::string_view text_;
  CompileError& error_;
};

bool TypeChecker::Fail(size_t offset, std::string message, std::string hint) {
  error_ = {Column(text_, offset), std::move(message), std::move(hint)};
  return false;
}

std::string OperandHint(const Expression& operand, std::string_view symbol, Type expected) {
  if (IsProperty(operand)) {
    const std::string name = NameOf(operand);
    if (expected == Type::kNumber) return fmt::format("use as_number({})", name);
    if (EqualsIgnoringCase(name, "true") || EqualsIgnoringCase(name, "false")) {
      return "true and false are written in lower case";
    }
    if (symbol == "NOT") return fmt::format("write NOT ({} = 'value'), with parentheses", name);
    return fmt::format("compare it, as in {} = 'true', or use is_defined({})", name, name);
  }
  if (operand.type == Type::kText && symbol == "+") return "use || to join texts";
  if (symbol == "||" && operand.type == Type::kBool) return "|| joins texts; use OR for logic";
  if (symbol == "NOT" && operand.type == Type::kNumber) return "write NOT (a = b), with parentheses";
  return "";
}

bool TypeChecker::Refuse(const Expression& operand, std::string_view symbol, Type expected) {
  return Fail(operand.offset, fmt::format("{} takes {}, found {}", symbol, Name(expected), Describe(operand)),
              OperandHint(operand, symbol, expected));
}

bool TypeChecker::CheckOperands(Expression* tree, Type type) {
  bool dynamic = false;
  for (const auto& operand : tree->operands) {
    if (operand->type != type && operand->type != Type::kDynamic) return Refuse(*operand, Symbol(tree->op), type);
    dynamic |= operand->type == Type::kDynamic;
  }
  tree->type = dynamic && type == Type::kNumber ? Type::kDynamic : type;
  return true;
}

bool TypeChecker::CheckOperator(Expression* tree) {
  switch (tree->op) {
    case Op::kBool:
      tree->type = Type::kBool;
      return true;
    case Op::kNumber:
      tree->type = Type::kNumber;
      return true;
    case Op::kText:
    case Op::kProperty:
    case Op::kDollarProperty:
    case Op::kSystemProperty:
      tree->type = Type::kText;
      return true;
    case Op::kNull:
      tree->type = Type::kNull;
      return true;
    case Op::kBody:
      tree->type = Type::kDynamic;
      return true;
    case Op::kNegate:
      return CheckNegate(tree);
    case Op::kNot:
      return CheckNot(tree);
    case Op::kAnd:
    case Op::kOr:
      return CheckLogic(tree);
    case Op::kCoalesce:
      return CheckCoalesce(tree);
    case Op::kConcat:
      return CheckOperands(tree, Type::kText);
    case Op::kMultiply:
    case Op::kDivide:
    case Op::kModulo:
    case Op::kAdd:
    case Op::kSubtract:
      return CheckOperands(tree, Type::kNumber);
    case Op::kLess:
    case Op::kLessEqual:
    case Op::kGreater:
    case Op::kGreaterEqual:
    case Op::kEqual:
    case Op::kNotEqual:
      return CheckComparison(tree);
    default:
      tree->type = Type::kUndefined;
      return true;
  }
}

bool TypeChecker::CheckNegate(Expression* tree) {
  // The model accepts `-undefined`, though not `3 + undefined`.
  if (tree->operands[0]->type == Type::kUndefined) {
    tree->type = Type::kUndefined;
    return true;
  }
  return CheckOperands(tree, Type::kNumber);
}

bool TypeChecker::CheckNot(Expression* tree) {
  const Expression& operand = *tree->operands[0];
  if (operand.type == Type::kText || operand.type == Type::kNumber) return Refuse(operand, "NOT", Type::kBool);
  tree->type = Type::kBool;
  return true;
}

bool TypeChecker::CheckLogic(Expression* tree) {
  size_t nulls = 0;
  for (const auto& operand : tree->operands) {
    if (operand->type == Type::kText || operand->type == Type::kNumber) {
      return Refuse(*operand, Symbol(tree->op), Type::kBool);
    }
    nulls += operand->type == Type::kNull;
  }
  const bool null = tree->op == Op::kAnd ? nulls > 0 : nulls == tree->operands.size();
  tree->type = null ? Type::kNull : Type::kBool;
  return true;
}

// Why two operands can't be compared, and what was probably meant.
std::string ComparisonHint(const Expression& left, const Expression& right) {
  for (const auto& [one, other] : {std::pair(&left, &right), std::pair(&right, &left)}) {
    if (!IsProperty(*one)) continue;
    const std::string name = NameOf(*one);
    switch (other->type) {
      case Type::kNumber:
        return fmt::format("use as_number({})", name);
      case Type::kNull:
        return fmt::format("use is_null({})", name);
      case Type::kUndefined:
        return fmt::format("use is_defined({})", name);
      case Type::kBool:
        return other->op == Op::kBool ? fmt::format("put the value in quotes: {} = '{}'", name, other->text) : "";
      default:
        return "";
    }
  }
  if (left.type == Type::kUndefined || right.type == Type::kUndefined) return "use is_defined";
  return "";
}

bool TypeChecker::CheckComparison(Expression* tree) {
  const Expression& left = *tree->operands[0];
  const Expression& right = *tree->operands[1];
  tree->type = Type::kBool;
  const bool dynamic = left.type == Type::kDynamic || right.type == Type::kDynamic;
  const bool undefined = left.type == Type::kUndefined || right.type == Type::kUndefined;
  if (left.type == right.type || (dynamic && !undefined)) return true;
  const Expression& first = IsProperty(right) && !IsProperty(left) ? right : left;
  return Fail(
      first.offset,
      fmt::format("{} compares values of one type, found {} and {}", Symbol(tree->op), Describe(left), Describe(right)),
      ComparisonHint(left, right));
}

bool TypeChecker::CheckCoalesce(Expression* tree) {
  const Expression& first = *tree->operands[0];
  bool dynamic = false;
  for (const auto& operand : tree->operands) dynamic |= operand->type == Type::kDynamic;
  for (const auto& operand : tree->operands) {
    const bool fits = dynamic ? operand->type != Type::kUndefined : operand->type == first.type;
    if (fits) continue;
    return Fail(
        operand->offset,
        fmt::format("?? chooses between values of one type, found {} and {}", Describe(first), Describe(*operand)),
        operand->type == Type::kBool ? "?? binds less than = does: write (a ?? 'b') = 'c'"
                                     : ComparisonHint(first, *operand));
  }
  tree->type = dynamic ? Type::kDynamic : first.type;
  return true;
}

bool TypeChecker::CheckCall(Expression* tree) {
  const Function& function = *tree->function;
  tree->type = function.result;
  for (size_t i = 0; i < tree->operands.size(); ++i) {
    const Expression& argument = *tree->operands[i];
    const Type expected = function.parameters[std::min(i, std::size(function.parameters) - 1)];
    if (expected == Type::kUndefined || argument.type == expected || argument.type == Type::kDynamic) continue;
    if (function.op == Op::kAsNumber && argument.type == Type::kNumber) continue;
    // `length(null)` and the like are undefined, other functions refuse the literal (C5).
    if (argument.type == Type::kNull &&
        (function.op == Op::kLength || function.op == Op::kLower || function.op == Op::kUpper)) {
      tree->type = Type::kUndefined;
      continue;
    }
    return Refuse(argument, function.name, expected);
  }
  return true;
}

}  // namespace

bool CheckTypes(std::string_view text, Expression* tree, CompileError* error) {
  return TypeChecker(text, error).Check(tree);
}

}  // namespace holdfast::routes
