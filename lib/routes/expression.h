// A condition as a tree: what the parser makes, the type check annotates and the compiler flattens.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::routes {

// Static types (IoT Edge contract C3). Every value can be undefined too, and a text may be null.
enum class Type : uint8_t {
  kBool,
  kNumber,
  kText,
  kNull,       // The literal null, and logic with it.
  kUndefined,  // The literal undefined, and what can't be anything else.
  kDynamic,    // A value of a body, known when there is one.
};

// What a node does. Kept when the tree is flattened.
enum class Op : uint8_t {
  // Leaves.
  kBool,
  kNumber,
  kText,
  kNull,
  kUndefined,
  kProperty,        // `x`: an application property
  kDollarProperty,  // `$x`: an application property `$x`, else a system property `x`
  kSystemProperty,  // `{$x}`
  kBody,            // `$body.a.b`; see Expression::with_property
  // Operators with one operand.
  kNegate,
  kNot,
  // Operators with two.
  kMultiply,
  kDivide,
  kModulo,
  kAdd,
  kSubtract,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kEqual,
  kNotEqual,
  // Chains: two operands or more.
  kConcat,
  kAnd,
  kOr,
  kCoalesce,
  // Functions.
  kAsNumber,
  kIsBool,
  kIsDefined,
  kIsNull,
  kIsNumber,
  kIsText,
  kAbs,
  kExp,
  kPower,
  kSquare,
  kCeiling,
  kFloor,
  kSign,
  kSqrt,
  kLength,
  kLower,
  kUpper,
  kSubstring,
  kIndexOf,
  kStartsWith,
  kEndsWith,
  kContains,
};

// One step of a body query: a key, and an index into what is there if it is not negative.
struct PathStep {
  std::string key;
  int64_t index = -1;
};
using BodyPath = std::vector<PathStep>;

struct Function;

struct Expression {
  Op op = Op::kUndefined;
  Type type = Type::kUndefined;
  // Of its first byte in the whole text.
  size_t offset = 0;
  // Of the operator, for operators; otherwise equal to offset.
  size_t op_offset = 0;
  // Of this tree; 1 for a leaf.
  int depth = 1;
  // kBool, kNumber
  bool boolean = false;
  double number = 0;
  // kText: the value. Properties: the name; with its `$`, but for kSystemProperty. kBody: the name with `$body.`.
  std::string text;
  BodyPath path;
  // kBody: an application property of that name wins (no braces around it, no [ ] in it).
  bool with_property = false;
  // Calls; also kConcat if it was written as one.
  const Function* function = nullptr;
  std::vector<std::unique_ptr<Expression>> operands;
};

}  // namespace holdfast::routes
