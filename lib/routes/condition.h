// The condition of a route (`WHERE …`), compiled: what docs/routes.md describes. Rules: IoT Edge contract C1, C3-C5.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/routes/message.h"

namespace holdfast::routes {

class MessageBody;
struct Expression;
struct Program;

// Bytes in a route or in a condition at most.
inline constexpr size_t kRouteBytesMax = 16 * 1024;
// Parentheses, calls and operators inside of each other at most. A chain of AND, OR, || or ?? counts once.
inline constexpr int kNestingMax = 100;
// Arguments of one call, and operands of one chain, at most.
inline constexpr size_t kOperandsMax = 1024;

struct Options {
  // True: body values behave as in IoT Edge, mistakes included: text that looks like an ISO 8601 date is undefined, and
  // is_null of a body value is true for whatever is there and false for what is missing. False: such text stays text,
  // and is_null is true for null and missing values only.
  bool strict_compat = true;
};

// Three-valued logic (C3). A message goes a route only if the condition is true.
enum class Truth : uint8_t { kFalse, kTrue, kUndefined };
// "true", "false", "undefined".
std::string_view Text(Truth truth);

// What is wrong with the text of a route or a condition.
struct CompileError {
  // Of the first character that is wrong, in characters from 1.
  int column = 0;
  // A sentence: what is wrong and what was expected.
  std::string message;
  // What to write instead; empty if unknown.
  std::string hint;

  // "column 12: message (hint)".
  std::string Text() const;
};

// Immutable, thread-safe, cheap to copy.
class Condition {
 public:
  // `text` is what stands behind WHERE. Empty text (or blanks) is a condition that is always undefined; a route without
  // WHERE has no condition. INVALID_ARGUMENT with CompileError::Text(); *error, if not null, gets it in parts.
  static absl::StatusOr<Condition> Compile(std::string_view text, const Options& options = {},
                                           CompileError* error = nullptr);
  // From its tree, whose types are checked; null = an empty condition. Part of the compiler.
  Condition(const Expression* tree, const Options& options);

  // No heap allocation, unless the condition looks at the body or makes texts (lower, upper, concat, ||) of more than
  // kScratchBytes together.
  Truth Evaluate(const Message& message) const;
  // The same, with the body parsed at most once for several conditions: `body` is of that message.
  Truth Evaluate(const Message& message, MessageBody& body) const;

  // Whether it has a $body query.
  bool looks_at_body() const;
  // What compiles but is hardly meant: names that would be operators if there were blanks.
  std::vector<std::string> Warnings() const;

  static constexpr size_t kScratchBytes = 1024;

 private:
  std::shared_ptr<const Program> program_;
};

}  // namespace holdfast::routes
