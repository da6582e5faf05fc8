#include "lib/routes/function.h"

#include "lib/routes/condition.h"
#include "lib/routes/text.h"

namespace holdfast::routes {
namespace {

constexpr Type kAny = Type::kUndefined;
constexpr Type kN = Type::kNumber;
constexpr Type kT = Type::kText;

constexpr Function kFunctions[] = {
    {"as_number", Op::kAsNumber, 1, 1, {kT}, kN, "as_number(text)"},
    {"is_bool", Op::kIsBool, 1, 1, {kAny}, Type::kBool, "is_bool(x)"},
    {"is_defined", Op::kIsDefined, 1, 1, {kAny}, Type::kBool, "is_defined(x)"},
    {"is_null", Op::kIsNull, 1, 1, {kAny}, Type::kBool, "is_null(x)"},
    {"is_number", Op::kIsNumber, 1, 1, {kAny}, Type::kBool, "is_number(x)"},
    {"is_string", Op::kIsText, 1, 1, {kAny}, Type::kBool, "is_string(x)"},
    {"abs", Op::kAbs, 1, 1, {kN}, kN, "abs(number)"},
    {"exp", Op::kExp, 1, 1, {kN}, kN, "exp(number)"},
    {"power", Op::kPower, 2, 2, {kN, kN}, kN, "power(number, exponent)"},
    {"square", Op::kSquare, 1, 1, {kN}, kN, "square(number)"},
    {"ceiling", Op::kCeiling, 1, 1, {kN}, kN, "ceiling(number)"},
    {"floor", Op::kFloor, 1, 1, {kN}, kN, "floor(number)"},
    {"sign", Op::kSign, 1, 1, {kN}, kN, "sign(number)"},
    {"sqrt", Op::kSqrt, 1, 1, {kN}, kN, "sqrt(number)"},
    {"concat", Op::kConcat, 2, kOperandsMax, {kT, kT, kT}, kT, "concat(text, text, ...)"},
    {"length", Op::kLength, 1, 1, {kT}, kN, "length(text)"},
    {"lower", Op::kLower, 1, 1, {kT}, kT, "lower(text)"},
    {"upper", Op::kUpper, 1, 1, {kT}, kT, "upper(text)"},
    {"substring", Op::kSubstring, 2, 3, {kT, kN, kN}, kT, "substring(text, start[, length])"},
    {"index_of", Op::kIndexOf, 2, 2, {kT, kT}, kN, "index_of(text, part)"},
    {"starts_with", Op::kStartsWith, 2, 2, {kT, kT}, Type::kBool, "starts_with(text, part)"},
    {"ends_with", Op::kEndsWith, 2, 2, {kT, kT}, Type::kBool, "ends_with(text, part)"},
    {"contains", Op::kContains, 2, 2, {kT, kT}, Type::kBool, "contains(text, part)"},
};

}  // namespace

const Function* FindFunction(std::string_view name) {
  for (const Function& function : kFunctions) {
    if (EqualsIgnoringCase(function.name, name)) return &function;
  }
  return nullptr;
}

std::span<const Function> Functions() {
  return kFunctions;
}

}  // namespace holdfast::routes
