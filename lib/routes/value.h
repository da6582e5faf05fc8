// What an expression evaluates to.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

namespace holdfast::routes {

// Texts are views: of the message, its parsed body, the program, or the evaluator's scratch memory.
struct Value {
  enum class Kind : uint8_t { kUndefined, kBool, kNumber, kText, kNull };
  Kind kind = Kind::kUndefined;
  bool boolean = false;
  // kNull: of a body that has nothing there.
  bool missing = false;
  double number = 0;
  std::string_view text;

  static Value Undefined() { return {}; }
  static Value Null() { return {.kind = Kind::kNull}; }
  static Value Missing() { return {.kind = Kind::kNull, .missing = true}; }
  static Value Bool(bool value) { return {.kind = Kind::kBool, .boolean = value}; }
  // NaN is undefined (C3).
  static Value Number(double value) {
    return std::isnan(value) ? Undefined() : Value{.kind = Kind::kNumber, .number = value};
  }
  static Value Text(std::string_view value) { return {.kind = Kind::kText, .text = value}; }

  bool defined() const { return kind != Kind::kUndefined; }
  bool is_number() const { return kind == Kind::kNumber; }
  bool is_text() const { return kind == Kind::kText; }
  bool is_null() const { return kind == Kind::kNull; }
  bool is_bool() const { return kind == Kind::kBool; }
};

}  // namespace holdfast::routes
