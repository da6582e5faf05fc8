#include "lib/routes/lexer.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "lib/routes/number_text.h"
#include "lib/routes/text.h"

namespace holdfast::routes {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kNotInNames = "()<>@,;:\\\"/[]?={} \t\r\n";
constexpr std::string_view kNotInDollarNames = "()<>@,;:\\\"/?={} \t\r\n";

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool IsHexDigit(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

size_t Run(std::string_view text, size_t from, std::string_view without) {
  return std::min(text.find_first_of(without, from), text.size()) - from;
}

// Bytes of the escape at `i`, where a backslash is; 0 if it is none.
size_t EscapeLength(std::string_view text, size_t i) {
  if (i + 1 >= text.size()) return 0;
  if (text[i + 1] == '"' || text[i + 1] == '\'' || text[i + 1] == '\\') return 2;
  if (text[i + 1] != 'u' || i + 6 > text.size()) return 0;
  for (size_t k = i + 2; k < i + 6; ++k) {
    if (!IsHexDigit(text[k])) return 0;
  }
  return 6;
}

size_t SkipDigits(std::string_view text, size_t i) {
  while (i < text.size() && IsDigit(text[i])) ++i;
  return i;
}

// Whether `text` as a whole is `d+`, `d*.d+` or either with an exponent (`d+` before an exponent alone).
bool IsDecimal(std::string_view text) {
  size_t i = SkipDigits(text, 0);
  const bool leading = i > 0;
  if (i < text.size() && text[i] == '.') {
    const size_t end = SkipDigits(text, i + 1);
    if (end == i + 1) return false;
    i = end;
  } else if (!leading) {
    return false;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    const size_t end = SkipDigits(text, i);
    if (end == i) return false;
    i = end;
  }
  return i == text.size();
}

// `word` as a number literal.
bool ReadNumber(std::string_view word, double* number) {
  if (word.size() > 2 && word[0] == '0' && (word[1] == 'x' || word[1] == 'X')) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(word.data() + 2, word.data() + word.size(), value, 16);
    if (end != word.data() + word.size()) return false;
    // More than 63 bits is no number in the model, but undefined.
    *number = error == std::errc() ? static_cast<double>(value) : std::numeric_limits<double>::quiet_NaN();
    return true;
  }
  const bool negative = word.starts_with('-');
  const std::string_view digits = word.substr(negative ? 1 : 0);
  if (!IsDecimal(digits)) return false;
  *number = negative ? -ParseDigits(digits) : ParseDigits(digits);
  return true;
}

struct Word {
  std::string_view text;
  TokenKind kind;
};

constexpr Word kExactWords[] = {
    {"true", TokenKind::kTrue},
    {"false", TokenKind::kFalse},
    {"null", TokenKind::kNull},
    {"undefined", TokenKind::kUndefined},
};

// What no identifier begins with.
constexpr Word kOperatorsInFront[] = {
    {"+", TokenKind::kPlus},    {"-", TokenKind::kMinus},   {"*", TokenKind::kStar},
    {"%", TokenKind::kPercent}, {"||", TokenKind::kConcat},
};

constexpr Word kKeywords[] = {
    {"SELECT", TokenKind::kSelect}, {"FROM", TokenKind::kFrom}, {"WHERE", TokenKind::kWhere},
    {"INTO", TokenKind::kInto},     {"AND", TokenKind::kAnd},   {"OR", TokenKind::kOr},
    {"NOT", TokenKind::kNot},
};

}  // namespace

void Lexer::Advance() {
  SkipBlanks();
  current_ = Read();
  position_ += current_.text.size();
}

void Lexer::SkipBlanks() {
  while (position_ < text_.size()) {
    if (kBlanks.find(text_[position_]) != std::string_view::npos) {
      ++position_;
    } else if (text_.substr(position_, 2) == "/*") {
      const size_t end = text_.find("*/", position_ + 2);
      if (end == std::string_view::npos) return;
      position_ = end + 2;
    } else {
      return;
    }
  }
}

bool Lexer::ReadPath(std::string* path) {
  // The current token was read by the rules of conditions; where it begins is what counts. Inside of a path `/*` is a
  // `/` and a `*`, not the beginning of a comment: `/messages/* WHERE … /* why */`.
  position_ = current_.offset;
  bool complete = false;
  while (text_.substr(position_, 1) == "/") {
    const size_t length = Run(text_, position_ + 1, kNotInNames);
    complete = length > 0;
    *path += text_.substr(position_, 1 + length);
    position_ += 1 + length;
  }
  Advance();
  return complete;
}

Token Lexer::Make(TokenKind kind, size_t length) const {
  return {.kind = kind, .text = text_.substr(position_, length), .offset = position_};
}

Token Lexer::Read() {
  if (position_ == text_.size()) return Make(TokenKind::kEnd, 0);
  const char c = text_[position_];
  const size_t name_length = Run(text_, position_, kNotInNames);
  if (c == '"' || c == '\'') return ReadText();
  const size_t dollar_length = Run(text_, position_, kNotInDollarNames);
  if (c == '$' && dollar_length > 1) return Make(TokenKind::kDollarName, dollar_length);
  if (dollar_length > name_length) return Make(TokenKind::kBracketedName, dollar_length);
  if (name_length == 1 && text_.substr(position_, 2) == "!=") return Make(TokenKind::kNotEqual, 2);
  return name_length > 0 ? ReadWord(name_length) : ReadSymbol();
}

Token Lexer::ReadText() const {
  const char quote = text_[position_];
  size_t i = position_ + 1;
  while (i < text_.size() && text_[i] != quote) {
    const size_t step = text_[i] == '\\' ? EscapeLength(text_, i) : 1;
    if (step == 0) break;
    i += step;
  }
  const bool terminated = i < text_.size() && text_[i] == quote;
  const size_t length = i - position_ + (terminated ? 1 : 0);
  return Make(terminated ? TokenKind::kText : TokenKind::kUnterminatedText, length);
}

Token Lexer::ReadWord(size_t name_length) const {
  const std::string_view word = text_.substr(position_, name_length);
  double number = 0;
  if (ReadNumber(word, &number)) {
    Token token = Make(TokenKind::kNumber, name_length);
    token.number = number;
    return token;
  }
  for (const Word& exact : kExactWords) {
    if (word == exact.text) return Make(exact.kind, name_length);
  }
  for (const Word& keyword : kKeywords) {
    if (EqualsIgnoringCase(word, keyword.text)) return Make(keyword.kind, name_length);
  }
  for (const Word& first : kOperatorsInFront) {
    if (word.starts_with(first.text)) return Make(first.kind, first.text.size());
  }
  return Make(TokenKind::kIdentifier, name_length);
}

Token Lexer::ReadSymbol() const {
  constexpr Word kSymbols[] = {
      {"<=", TokenKind::kLessEqual}, {"<>", TokenKind::kNotEqual}, {">=", TokenKind::kGreaterEqual},
      {"??", TokenKind::kCoalesce},  {"<", TokenKind::kLess},      {">", TokenKind::kGreater},
      {"=", TokenKind::kEqual},      {"/", TokenKind::kSlash},     {"(", TokenKind::kOpen},
      {")", TokenKind::kClose},      {"{", TokenKind::kOpenBrace}, {"}", TokenKind::kCloseBrace},
      {",", TokenKind::kComma},
  };
  for (const Word& symbol : kSymbols) {
    if (text_.substr(position_, symbol.text.size()) == symbol.text) return Make(symbol.kind, symbol.text.size());
  }
  return Make(TokenKind::kUnknown, 1);
}

std::string Unescape(std::string_view quoted) {
  const std::string_view text = quoted.substr(1, quoted.size() - 2);
  const auto unit = [text](size_t i) {
    uint32_t value = 0;
    std::from_chars(text.data() + i + 2, text.data() + i + 6, value, 16);
    return static_cast<char32_t>(value);
  };
  constexpr char32_t kReplacement = 0xFFFD;
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = text[i] == '\\' ? EscapeLength(text, i) : 0;
    if (length == 0) {
      out += text[i++];
    } else if (length == 2) {
      out += text[i + 1];
      i += 2;
    } else {
      char32_t c = unit(i);
      i += 6;
      const bool high = c >= 0xD800 && c < 0xDC00;
      if (high && i < text.size() && text[i] == '\\' && EscapeLength(text, i) == 6 && unit(i) >= 0xDC00 &&
          unit(i) < 0xE000) {
        c = 0x10000 + ((c - 0xD800) << 10) + (unit(i) - 0xDC00);
        i += 6;
      } else if (c >= 0xD800 && c < 0xE000) {
        c = kReplacement;
      }
      AppendUtf8(c, &out);
    }
  }
  return out;
}

}  // namespace holdfast::routes
