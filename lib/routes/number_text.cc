#include "lib/routes/number_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "lib/routes/text.h"

namespace holdfast::routes {
namespace {

constexpr int64_t kExponentClamp = 1'000'000;

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool IsBlank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

// Of a number that no double can hold: whether it is too large rather than too small.
bool IsLarge(std::string_view text) {
  const size_t e = text.find_first_of("eE");
  int64_t exponent = 0;
  if (e != std::string_view::npos) {
    const bool negative = text[e + 1] == '-';
    for (const char c : text.substr(e + 1)) {
      if (IsDigit(c)) exponent = std::min(exponent * 10 + (c - '0'), kExponentClamp);
    }
    if (negative) exponent = -exponent;
  }
  const std::string_view mantissa = text.substr(0, e);
  const size_t point = std::min(mantissa.find('.'), mantissa.size());
  const size_t first = mantissa.find_first_of("123456789");
  return static_cast<int64_t>(point) - static_cast<int64_t>(std::min(first, mantissa.size())) + exponent > 0;
}

size_t SkipDigits(std::string_view text, size_t i) {
  while (i < text.size() && IsDigit(text[i])) ++i;
  return i;
}

// Whether it is digits with an optional point, exponent and commas before the point; *grouped: it has commas.
bool IsUnsigned(std::string_view text, bool* grouped) {
  size_t i = 0;
  size_t digits = 0;
  for (; i < text.size() && (IsDigit(text[i]) || (text[i] == ',' && digits > 0)); ++i) {
    if (text[i] == ',') *grouped = true;
    digits += IsDigit(text[i]);
  }
  if (i < text.size() && text[i] == '.') {
    const size_t end = SkipDigits(text, i + 1);
    digits += end - i - 1;
    i = end;
  }
  if (digits == 0) return false;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    const size_t end = SkipDigits(text, i);
    if (end == i) return false;
    i = end;
  }
  return i == text.size();
}

}  // namespace

double ParseDigits(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc::result_out_of_range) return value;
  return IsLarge(text) ? std::numeric_limits<double>::infinity() : 0;
}

std::optional<double> ParseNumber(std::string_view text) {
  text = Trim(text);
  bool negative = false;
  if (text.size() > 2 && text.front() == '(' && text.back() == ')') {
    negative = true;
    text = Trim(text.substr(1, text.size() - 2));
  } else if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    negative = text.front() == '-';
    text = Trim(text.substr(1));
  } else if (!text.empty() && (text.back() == '-' || text.back() == '+')) {
    negative = text.back() == '-';
    text = Trim(text.substr(0, text.size() - 1));
  }
  const double sign = negative ? -1.0 : 1.0;
  if (EqualsIgnoringCase(text, "Infinity")) return sign * std::numeric_limits<double>::infinity();
  if (EqualsIgnoringCase(text, "NaN")) return std::numeric_limits<double>::quiet_NaN();
  bool grouped = false;
  if (!IsUnsigned(text, &grouped)) return std::nullopt;
  if (!grouped) return sign * ParseDigits(text);
  if (text.size() > kGroupedNumberBytesMax) return std::nullopt;
  char plain[kGroupedNumberBytesMax];
  const char* const end = std::remove_copy(text.begin(), text.end(), plain, ',');
  return sign * ParseDigits({plain, static_cast<size_t>(end - plain)});
}

}  // namespace holdfast::routes
