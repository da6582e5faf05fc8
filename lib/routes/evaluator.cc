#include "lib/routes/evaluator.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lib/routes/iso_date.h"
#include "lib/routes/number_text.h"
#include "lib/routes/text.h"

namespace holdfast::routes {
namespace {

Value FromProperty(const Property& property) {
  if (property.absent()) return Value::Undefined();
  return property.null() ? Value::Null() : Value::Text(property.text());
}

// -1, 0 or 1. Both defined.
template <typename T>
int Order(const T& left, const T& right) {
  return left < right ? -1 : (right < left ? 1 : 0);
}

// Different types of body values compare by rank: truth values, numbers, texts, null (C4). Between two properties a
// null comes before every text.
int Rank(const Value& value, bool dynamic) {
  switch (value.kind) {
    case Value::Kind::kBool:
      return 1;
    case Value::Kind::kNumber:
      return 2;
    case Value::Kind::kText:
      return 3;
    default:
      return dynamic ? 4 : 0;
  }
}

int Order(const Value& left, const Value& right, bool dynamic) {
  if (left.kind != right.kind) return Order(Rank(left, dynamic), Rank(right, dynamic));
  switch (left.kind) {
    case Value::Kind::kBool:
      return Order(left.boolean, right.boolean);
    case Value::Kind::kNumber:
      return Order(left.number, right.number);
    case Value::Kind::kText:
      return Order(left.text.compare(right.text), 0);
    default:
      return 0;
  }
}

double Sign(double x) {
  return x > 0 ? 1 : (x < 0 ? -1 : 0);
}

}  // namespace

Truth Evaluator::Run() {
  if (program_.nodes.empty()) return Truth::kUndefined;
  const Node& root = program_.nodes.back();
  // The literal null and logic with it is no true condition, where a null in a body is undefined.
  if (root.type == Type::kNull) return Truth::kFalse;
  if (root.type != Type::kBool && root.type != Type::kDynamic) return Truth::kUndefined;
  const Value value = Evaluate(root);
  if (!value.is_bool()) return Truth::kUndefined;
  return value.boolean ? Truth::kTrue : Truth::kFalse;
}

Value Evaluator::Evaluate(const Node& node) {
  switch (node.op) {
    case Op::kBool:
    case Op::kNumber:
    case Op::kText:
    case Op::kNull:
    case Op::kUndefined:
    case Op::kProperty:
    case Op::kDollarProperty:
    case Op::kSystemProperty:
    case Op::kBody:
      return Leaf(node);
    case Op::kNot:
      return Not(node);
    case Op::kNegate:
    case Op::kMultiply:
    case Op::kDivide:
    case Op::kModulo:
    case Op::kAdd:
    case Op::kSubtract:
      return Arithmetic(node);
    case Op::kLess:
    case Op::kLessEqual:
    case Op::kGreater:
    case Op::kGreaterEqual:
    case Op::kEqual:
    case Op::kNotEqual:
      return Compare(node);
    case Op::kConcat:
      return Concat(node);
    case Op::kAnd:
      return And(node);
    case Op::kOr:
      return Or(node);
    case Op::kCoalesce:
      return Coalesce(node);
    case Op::kIsBool:
      return Value::Bool(Operand(node, 0).is_bool());
    case Op::kIsDefined:
      return Value::Bool(Operand(node, 0).defined());
    case Op::kIsNull:
      return IsNull(node);
    case Op::kIsNumber: {
      const Value value = Operand(node, 0);
      return Value::Bool(value.is_number() && std::isfinite(value.number));
    }
    case Op::kIsText:
      return Value::Bool(Operand(node, 0).is_text());
    case Op::kAsNumber:
    case Op::kLength:
    case Op::kLower:
    case Op::kUpper:
      return OneText(node);
    case Op::kAbs:
    case Op::kExp:
    case Op::kPower:
    case Op::kSquare:
    case Op::kCeiling:
    case Op::kFloor:
    case Op::kSign:
    case Op::kSqrt:
      return Math(node);
    case Op::kSubstring:
      return Substring(node);
    case Op::kIndexOf:
    case Op::kStartsWith:
    case Op::kEndsWith:
    case Op::kContains:
      return TwoTexts(node);
  }
  return Value::Undefined();
}

Value Evaluator::Leaf(const Node& node) {
  switch (node.op) {
    case Op::kBool:
      return Value::Bool(node.flag);
    case Op::kNumber:
      return Value::Number(node.number);
    case Op::kText:
      return Value::Text(node.text);
    case Op::kNull:
      return Value::Null();
    case Op::kProperty:
      return FromProperty(message_.ApplicationProperty(node.text));
    case Op::kDollarProperty: {
      // node.text has the `$` for the application property; the system property is named without it.
      const Property property = message_.ApplicationProperty(node.text);
      const std::string_view name = std::string_view(node.text).substr(1);
      return FromProperty(property.absent() ? message_.SystemProperty(name) : property);
    }
    case Op::kSystemProperty:
      return FromProperty(message_.SystemProperty(node.text));
    case Op::kBody: {
      if (node.flag) {
        const Property property = message_.ApplicationProperty(node.text);
        if (!property.absent()) return FromProperty(property);
      }
      const Value value = body_.Select(program_.paths[node.path]);
      const bool date = program_.strict_compat && value.is_text() && LooksLikeDate(value.text);
      return date ? Value::Undefined() : value;
    }
    default:
      return Value::Undefined();
  }
}

Value Evaluator::Not(const Node& node) {
  if (node.operand_type == Type::kNull) return Value::Bool(true);
  const Value value = Operand(node, 0);
  return value.is_bool() ? Value::Bool(!value.boolean) : Value::Undefined();
}

// Kleene: false decides, else undefined stays.
Value Evaluator::And(const Node& node) {
  if (node.type == Type::kNull) return Value::Null();
  bool undefined = false;
  for (size_t i = 0; i < node.operand_count; ++i) {
    const Value value = Operand(node, i);
    if (value.is_bool() && !value.boolean) return value;
    undefined |= !value.is_bool();
  }
  return undefined ? Value::Undefined() : Value::Bool(true);
}

// Kleene: true decides, else undefined stays. `null OR x` is x.
Value Evaluator::Or(const Node& node) {
  if (node.type == Type::kNull) return Value::Null();
  bool undefined = false;
  for (size_t i = 0; i < node.operand_count; ++i) {
    if (OperandNode(node, i).type == Type::kNull) continue;
    const Value value = Operand(node, i);
    if (value.is_bool() && value.boolean) return value;
    undefined |= !value.is_bool();
  }
  return undefined ? Value::Undefined() : Value::Bool(false);
}

Value Evaluator::Coalesce(const Node& node) {
  for (size_t i = 0; i < node.operand_count; ++i) {
    const Value value = Operand(node, i);
    if (value.defined()) return value;
  }
  return Value::Undefined();
}

Value Evaluator::Arithmetic(const Node& node) {
  const Value left = Operand(node, 0);
  if (!left.is_number()) return Value::Undefined();
  if (node.op == Op::kNegate) return Value::Number(-left.number);
  const Value right = Operand(node, 1);
  if (!right.is_number()) return Value::Undefined();
  switch (node.op) {
    case Op::kMultiply:
      return Value::Number(left.number * right.number);
    case Op::kDivide:
      return Value::Number(left.number / right.number);
    case Op::kModulo:
      return Value::Number(std::fmod(left.number, right.number));
    case Op::kAdd:
      return Value::Number(left.number + right.number);
    default:
      return Value::Number(left.number - right.number);
  }
}

Value Evaluator::Compare(const Node& node) {
  const Value left = Operand(node, 0);
  const Value right = Operand(node, 1);
  if (!left.defined() || !right.defined()) return Value::Undefined();
  const bool dynamic = node.operand_type == Type::kDynamic || OperandNode(node, 1).type == Type::kDynamic;
  const int order = Order(left, right, dynamic);
  switch (node.op) {
    case Op::kLess:
      return Value::Bool(order < 0);
    case Op::kLessEqual:
      return Value::Bool(order <= 0);
    case Op::kGreater:
      return Value::Bool(order > 0);
    case Op::kGreaterEqual:
      return Value::Bool(order >= 0);
    case Op::kEqual:
      return Value::Bool(order == 0);
    default:
      return Value::Bool(order != 0);
  }
}

Value Evaluator::Keep(std::pmr::string text) {
  // Short texts would lie inside of the string object.
  char* const kept = static_cast<char*>(scratch_.allocate(std::max<size_t>(text.size(), 1), 1));
  std::memcpy(kept, text.data(), text.size());
  return Value::Text({kept, text.size()});
}

// A property that is null counts as empty text; a null in a body is no text (C3).
Value Evaluator::Concat(const Node& node) {
  std::pmr::string joined(&scratch_);
  for (size_t i = 0; i < node.operand_count; ++i) {
    const Value value = Operand(node, i);
    const bool null = value.is_null() && OperandNode(node, i).type == Type::kText;
    if (!value.is_text() && !null) return Value::Undefined();
    joined += value.text;
  }
  return Keep(std::move(joined));
}

Value Evaluator::IsNull(const Node& node) {
  const Value value = Operand(node, 0);
  if (node.operand_type != Type::kDynamic || !program_.strict_compat) return Value::Bool(value.is_null());
  // The model compares the wrong things: true for whatever the body has, false for what it has not (C4).
  return value.defined() ? Value::Bool(!value.missing) : Value::Undefined();
}

Value Evaluator::Math(const Node& node) {
  const Value value = Operand(node, 0);
  if (!value.is_number()) return Value::Undefined();
  const double x = value.number;
  switch (node.op) {
    case Op::kAbs:
      return Value::Number(std::fabs(x));
    case Op::kExp:
      return Value::Number(std::exp(x));
    case Op::kSquare:
      return Value::Number(x * x);
    case Op::kCeiling:
      return Value::Number(std::ceil(x));
    case Op::kFloor:
      return Value::Number(std::floor(x));
    case Op::kSign:
      return Value::Number(Sign(x));
    case Op::kSqrt:
      return Value::Number(std::sqrt(x));
    default: {
      const Value exponent = Operand(node, 1);
      return exponent.is_number() ? Value::Number(std::pow(x, exponent.number)) : Value::Undefined();
    }
  }
}

Value Evaluator::OneText(const Node& node) {
  const Value value = Operand(node, 0);
  if (node.op == Op::kAsNumber && value.is_number()) return value;
  if (!value.is_text()) return Value::Undefined();
  switch (node.op) {
    case Op::kAsNumber: {
      const std::optional<double> number = ParseNumber(value.text);
      return number ? Value::Number(*number) : Value::Undefined();
    }
    case Op::kLength:
      return Value::Number(static_cast<double>(Utf16Length(value.text)));
    case Op::kLower:
      return Keep(ToLower(value.text, &scratch_));
    default:
      return Keep(ToUpper(value.text, &scratch_));
  }
}

Value Evaluator::TwoTexts(const Node& node) {
  const Value text = Operand(node, 0);
  const Value part = Operand(node, 1);
  if (!text.is_text() || !part.is_text()) return Value::Undefined();
  switch (node.op) {
    case Op::kStartsWith:
      return Value::Bool(text.text.starts_with(part.text));
    case Op::kEndsWith:
      return Value::Bool(text.text.ends_with(part.text));
    case Op::kContains:
      return Value::Bool(text.text.find(part.text) != std::string_view::npos);
    default: {
      const size_t at = text.text.find(part.text);
      if (at == std::string_view::npos) return Value::Number(-1);
      return Value::Number(static_cast<double>(Utf16Length(text.text.substr(0, at))));
    }
  }
}

// substring(text, start) up to the end, start at most the length; substring(text, start, length) with the start inside
// of the text and no more than what is there (C5).
Value Evaluator::Substring(const Node& node) {
  const Value text = Operand(node, 0);
  const Value start = Operand(node, 1);
  if (!text.is_text() || !start.is_number()) return Value::Undefined();
  const auto length = static_cast<double>(Utf16Length(text.text));
  if (start.number < 0 || start.number > length) return Value::Undefined();
  const auto first = static_cast<size_t>(start.number);
  if (node.operand_count == 2) {
    return Value::Text(Utf16Substring(text.text, first, static_cast<size_t>(length) - first));
  }
  const Value count = Operand(node, 2);
  if (!count.is_number() || count.number < 0 || count.number > length - start.number || start.number >= length) {
    return Value::Undefined();
  }
  return Value::Text(Utf16Substring(text.text, first, static_cast<size_t>(count.number)));
}

}  // namespace holdfast::routes
