// Routes and conditions as tokens (IoT Edge contract C1). An identifier is any run of characters but
// ( ) < > @ , ; : \ " / [ ] ? = { } and white space, and the longest match wins: `a-b`, `3+4` and `it's` are one
// identifier each. It can't begin with a quote, + - * % or ||, so `'a'||'b'` is what it looks like. A `$` name may have
// [ ] too.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace holdfast::routes {

enum class TokenKind : uint8_t {
  kEnd,
  kIdentifier,
  kDollarName,     // `$x`, `$body.a[0]`
  kBracketedName,  // A name with [ ] but without `$`; no use for it.
  kText,
  kUnterminatedText,
  kNumber,
  kTrue,
  kFalse,
  kNull,
  kUndefined,
  kSelect,
  kFrom,
  kWhere,
  kInto,
  kAnd,
  kOr,
  kNot,
  kOpen,
  kClose,
  kOpenBrace,
  kCloseBrace,
  kComma,
  kPlus,
  kMinus,
  kStar,
  kSlash,
  kPercent,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kConcat,
  kCoalesce,
  kUnknown,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  // As written.
  std::string_view text;
  // Of its first byte in the whole text.
  size_t offset = 0;
  // kNumber
  double number = 0;
};

// Not thread-safe; the text must outlive it and its tokens.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) { Advance(); }

  const Token& current() const { return current_; }
  void Advance();

  // A source path has rules of its own: reads the one that begins with the current token, `/item/item…` without blanks,
  // and goes on behind it. Appends it to *path. False if there is no `/`, or no item behind the last one; current() is
  // then what stands there instead.
  bool ReadPath(std::string* path);

  std::string_view text() const { return text_; }

 private:
  void SkipBlanks();
  Token Read();
  Token ReadText() const;
  Token ReadWord(size_t name_length) const;
  Token ReadSymbol() const;
  Token Make(TokenKind kind, size_t length) const;

  const std::string_view text_;
  size_t position_ = 0;
  Token current_;
};

// The value of a kText token: without quotes, escapes \" \' \\ \uXXXX replaced.
std::string Unescape(std::string_view quoted);

}  // namespace holdfast::routes
