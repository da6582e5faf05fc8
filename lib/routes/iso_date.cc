#include "lib/routes/iso_date.h"

#include <cstddef>

namespace holdfast::routes {
namespace {

constexpr size_t kIsoBytesMin = 19;  // Without fraction and zone.
constexpr size_t kIsoBytesMax = 40;
constexpr int kFractionDigitsMax = 7;

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

// Takes what it is asked for from the front of a text.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  bool Number(size_t digits, int* value) {
    if (text_.size() < digits) return false;
    *value = 0;
    for (size_t i = 0; i < digits; ++i) {
      if (!IsDigit(text_[i])) return false;
      *value = *value * 10 + (text_[i] - '0');
    }
    text_.remove_prefix(digits);
    return true;
  }
  bool Char(char c) {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  int Digits(int max) {
    int count = 0;
    while (count < max && !text_.empty() && IsDigit(text_.front())) {
      text_.remove_prefix(1);
      ++count;
    }
    return count;
  }
  bool done() const { return text_.empty(); }

 private:
  std::string_view text_;
};

bool Date(Cursor* at) {
  int year = 0;
  int month = 0;
  int day = 0;
  if (!at->Number(4, &year) || !at->Char('-') || !at->Number(2, &month) || !at->Char('-') || !at->Number(2, &day)) {
    return false;
  }
  if (year < 1 || month < 1 || month > 12 || day < 1) return false;
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return day <= kDays[month - 1] + (leap && month == 2 ? 1 : 0);
}

bool Time(Cursor* at) {
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (!at->Number(2, &hour) || !at->Char(':') || !at->Number(2, &minute) || !at->Char(':') || !at->Number(2, &second)) {
    return false;
  }
  const bool midnight = hour == 24 && minute == 0 && second == 0;
  return (hour < 24 || midnight) && minute < 60 && second < 60;
}

bool Zone(Cursor* at) {
  if (at->done() || at->Char('Z') || at->Char('z')) return true;
  if (!at->Char('+') && !at->Char('-')) return false;
  int hours = 0;
  int minutes = 0;
  if (!at->Number(2, &hours)) return false;
  if (at->done()) return true;
  at->Char(':');
  return at->Number(2, &minutes);
}

}  // namespace

bool LooksLikeDate(std::string_view text) {
  if (text.starts_with("/Date(") && text.ends_with(")/")) {
    Cursor at(text.substr(6, text.size() - 8));
    at.Char('-');
    return at.Digits(20) > 0 && Zone(&at) && at.done();
  }
  if (text.size() < kIsoBytesMin || text.size() > kIsoBytesMax || !IsDigit(text[0]) || text[10] != 'T') return false;
  Cursor at(text);
  if (!Date(&at) || !at.Char('T') || !Time(&at)) return false;
  if (at.Char('.') && at.Digits(kFractionDigitsMax) == 0) return false;
  return Zone(&at) && at.done();
}

}  // namespace holdfast::routes
