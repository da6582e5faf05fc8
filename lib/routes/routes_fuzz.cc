#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <type_traits>

#include "lib/routes/message_body.h"
#include "lib/routes/route.h"
#include "lib/routes/test_message.h"

namespace {

using holdfast::routes::BodyMessage;
using holdfast::routes::CompileError;
using holdfast::routes::Condition;
using holdfast::routes::Route;
using holdfast::routes::TestMessage;
using holdfast::routes::Truth;

void Require(bool holds) {
  if (!holds) std::abort();
}

// A text either compiles, in either mode, or has an error with a column inside of it.
template <typename T>
void CheckCompile(std::string_view text, const TestMessage& message) {
  CompileError error;
  const auto strict = T::Compile(text, {.strict_compat = true}, &error);
  const auto lenient = T::Compile(text, {.strict_compat = false});
  Require(strict.ok() == lenient.ok());
  if (!strict.ok()) {
    Require(error.column >= 1 && static_cast<size_t>(error.column) <= text.size() + 1 && !error.message.empty());
    return;
  }
  if constexpr (std::is_same_v<T, Condition>) {
    Require(strict->Evaluate(message) == strict->Evaluate(message));
    lenient->Evaluate(message);
  } else {
    strict->source.Matches(message.source());
    if (strict->condition) {
      // What stands between WHERE and INTO is a condition of its own, with the same result.
      const auto alone = Condition::Compile(strict->condition_text, {.strict_compat = true});
      Require(alone.ok() && alone->Evaluate(message) == strict->condition->Evaluate(message));
    }
    // The endpoint's text is a sink (behind `FROM /*` a name with `*/` in it would end a comment).
    const auto again = Route::Compile("FROM /messages/* INTO " + strict->endpoint.Text());
    const std::string names = strict->endpoint.module_id + strict->endpoint.input + strict->endpoint.device_id;
    const bool quoted = names.find_first_of("\\\"") != std::string::npos;
    Require(quoted || (again.ok() && again->endpoint == strict->endpoint));
  }
}

}  // namespace

// The input is a route or a condition, and behind the first newline the body of a message.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t newline = std::min(input.find('\n'), input.size());
  const std::string_view text = input.substr(0, newline);
  TestMessage message = BodyMessage(std::string(input.substr(std::min(newline + 1, input.size()))));
  message.properties = {{"a", "1"}, {"b", std::nullopt}, {"$c", "x"}};
  CheckCompile<Condition>(text, message);
  CheckCompile<Route>(text, message);
  return 0;
}
