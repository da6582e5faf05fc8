// Numbers as text, the way .NET reads them (as_number, C3).
#pragma once

#include <optional>
#include <string_view>

namespace holdfast::routes {

// Digits, at most one '.', and an exponent: `12`, `.5`, `1e6`. No sign in front. Above what a double holds it is
// infinity, below 0. `text` must have that form.
double ParseDigits(std::string_view text);

// Bytes of a number with thousands separators at most; a longer one is none.
inline constexpr size_t kGroupedNumberBytesMax = 256;

// What as_number takes: blanks around, a sign in front or behind or parentheses for a negative one, commas between
// digits before the point, a point, an exponent; Infinity and NaN by name. nullopt if it is no number. No allocation.
std::optional<double> ParseNumber(std::string_view text);

}  // namespace holdfast::routes
