#include "lib/routes/body_path.h"

#include <algorithm>
#include <charconv>

namespace holdfast::routes {
namespace {

// The index of `key[…`; `brackets` begins with '['.
bool ParseIndex(std::string_view brackets, int64_t* index, std::string* error) {
  const size_t close = brackets.find(']');
  const std::string_view digits = brackets.substr(1, std::min(close, brackets.size()) - 1);
  if (close == std::string_view::npos || digits.empty() ||
      digits.find_first_not_of("0123456789") != std::string_view::npos) {
    *error = "expected a number in [ ] of a body query; slices, wildcards and filters are not supported";
    return false;
  }
  if (close + 1 != brackets.size()) {
    *error = "expected '.' or the end behind ']' in a body query";
    return false;
  }
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), *index);
  if (failed == std::errc() && *index <= INT32_MAX) return true;
  *error = "the index is larger than any array";
  return false;
}

}  // namespace

bool ParseBodyPath(std::string_view text, BodyPath* path, size_t* error_offset, std::string* error) {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    const size_t bracket = std::min(part.find_first_of("[]"), part.size());
    PathStep step{.key = std::string(part.substr(0, bracket))};
    *error_offset = begin;
    if (step.key.empty()) {
      *error = "expected a key in a body query, as in $body.message.temperature";
      return false;
    }
    if (step.key == "*") {
      *error = "wildcards are not supported in a body query";
      return false;
    }
    *error_offset = begin + bracket;
    if (bracket < part.size() && !ParseIndex(part.substr(bracket), &step.index, error)) return false;
    if (path->size() == kPathStepsMax) {
      *error = "more than 64 keys in a body query";
      return false;
    }
    path->push_back(std::move(step));
    begin = end + 1;
  }
  return true;
}

}  // namespace holdfast::routes
