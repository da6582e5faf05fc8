// Conditions from tokens to a tree (IoT Edge contract C1). Precedence, highest first: calls and parentheses; unary -;
// NOT; * / %; + - ||; < <= > >=; = != <>; AND; OR; ??. All to the left.
#pragma once

#include <memory>
#include <string>

#include "lib/routes/condition.h"
#include "lib/routes/expression.h"
#include "lib/routes/lexer.h"

namespace holdfast::routes {

// Parses what stands at `lexer`. Not thread-safe.
class Parser {
 public:
  explicit Parser(Lexer* lexer) : lexer_(*lexer) {}

  // One expression; stops in front of the first token that can't belong to it. nullptr on an error.
  std::unique_ptr<Expression> ParseExpression();
  // Whether the current token is one that may follow an expression; on a wrong one an error that says what is wrong.
  bool CheckEnd(bool in_route);

  // Of the first error, which is the one that counts.
  const CompileError& error() const { return error_; }

 private:
  using Tree = std::unique_ptr<Expression>;

  Tree ParseLevel(size_t level);
  Tree ParseUnary();
  Tree ParsePrimary();
  Tree ParseParentheses();
  Tree ParseDollarName(bool braces);
  Tree ParseBraces();
  Tree ParseCall(const Token& name);
  bool ParseArguments(Expression* call);
  bool CheckOperator(const Token& op);
  // Adds `right` to `left`, as one more of a chain or as a new tree.
  Tree Combine(Op op, bool chain, size_t op_offset, Tree left, Tree right);
  Tree Leaf(Op op, const Token& token) const;
  // Sets depth; an error if it is too large.
  bool CheckDepth(Expression* tree);
  bool Expect(TokenKind kind, std::string_view what);

  std::nullptr_t Fail(size_t offset, std::string message, std::string hint = {});

  Lexer& lexer_;
  CompileError error_;
  int nesting_ = 0;
};

// "the end", or the token in quotes, cut if it is long.
std::string Quoted(const Token& token);

}  // namespace holdfast::routes
