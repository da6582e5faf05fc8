#include "lib/routes/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "lib/routes/body_path.h"
#include "lib/routes/function.h"
#include "lib/routes/text.h"

namespace holdfast::routes {
namespace {

constexpr size_t kQuotedBytesMax = 40;
constexpr std::string_view kExpectedOperand = "a property, a value, a function or '('";

struct Operator {
  TokenKind token;
  Op op;
};
// Binary operators from the lowest precedence to the highest.
constexpr Operator kCoalesceLevel[] = {{TokenKind::kCoalesce, Op::kCoalesce}};
constexpr Operator kOrLevel[] = {{TokenKind::kOr, Op::kOr}};
constexpr Operator kAndLevel[] = {{TokenKind::kAnd, Op::kAnd}};
constexpr Operator kEqualityLevel[] = {{TokenKind::kEqual, Op::kEqual}, {TokenKind::kNotEqual, Op::kNotEqual}};
constexpr Operator kOrderLevel[] = {{TokenKind::kLess, Op::kLess},
                                    {TokenKind::kLessEqual, Op::kLessEqual},
                                    {TokenKind::kGreater, Op::kGreater},
                                    {TokenKind::kGreaterEqual, Op::kGreaterEqual}};
constexpr Operator kSumLevel[] = {
    {TokenKind::kPlus, Op::kAdd}, {TokenKind::kMinus, Op::kSubtract}, {TokenKind::kConcat, Op::kConcat}};
constexpr Operator kProductLevel[] = {
    {TokenKind::kStar, Op::kMultiply}, {TokenKind::kSlash, Op::kDivide}, {TokenKind::kPercent, Op::kModulo}};
constexpr std::span<const Operator> kLevels[] = {kCoalesceLevel, kOrLevel,  kAndLevel,    kEqualityLevel,
                                                 kOrderLevel,    kSumLevel, kProductLevel};

bool IsChain(Op op) {
  return op == Op::kCoalesce || op == Op::kOr || op == Op::kAnd || op == Op::kConcat;
}

std::string ListFunctions() {
  std::string list;
  for (const Function& function : Functions()) list += (list.empty() ? "" : ", ") + std::string(function.name);
  return list;
}

std::string ArgumentCount(const Function& function) {
  const size_t min = function.arguments_min;
  if (function.arguments_max == kOperandsMax) return fmt::format("{} arguments or more", min);
  if (function.arguments_max != min) return fmt::format("{} or {} arguments", min, function.arguments_max);
  return min == 1 ? "1 argument" : fmt::format("{} arguments", min);
}

// What to write instead of `token`, which stands where an operator should.
std::string OperatorHint(const Token& token) {
  if (token.text == "&&") return "use AND";
  if (token.text.starts_with('!')) return "use NOT or !=";
  if (token.text == "?" || token.text == ";") return "";
  if (token.kind == TokenKind::kNumber && token.text.starts_with('-')) {
    return "write blanks on both sides of an operator; without them the - belongs to the number";
  }
  return "";
}

}  // namespace

std::string Quoted(const Token& token) {
  if (token.kind == TokenKind::kEnd) return "the end";
  if (token.text.size() <= kQuotedBytesMax) return fmt::format("'{}'", token.text);
  size_t cut = kQuotedBytesMax;
  while (cut > 0 && (static_cast<unsigned char>(token.text[cut]) & 0xC0) == 0x80) --cut;
  return fmt::format("'{}...'", token.text.substr(0, cut));
}

std::nullptr_t Parser::Fail(size_t offset, std::string message, std::string hint) {
  if (error_.column == 0) error_ = {Column(lexer_.text(), offset), std::move(message), std::move(hint)};
  return nullptr;
}

bool Parser::Expect(TokenKind kind, std::string_view what) {
  const Token& token = lexer_.current();
  if (token.kind == kind) {
    lexer_.Advance();
    return true;
  }
  Fail(token.offset, fmt::format("expected {} instead of {}", what, Quoted(token)), OperatorHint(token));
  return false;
}

bool Parser::CheckEnd(bool in_route) {
  const Token& token = lexer_.current();
  if (token.kind == TokenKind::kEnd || (in_route && token.kind == TokenKind::kInto)) return true;
  if (token.kind == TokenKind::kClose) {
    Fail(token.offset, "')' without a '(' in front of it");
  } else if (token.kind == TokenKind::kUnknown) {
    Fail(token.offset, fmt::format("{} has no meaning in a condition", Quoted(token)));
  } else {
    Fail(token.offset,
         fmt::format("expected an operator or the end{} instead of {}", in_route ? " or INTO" : "", Quoted(token)),
         OperatorHint(token));
  }
  return false;
}

std::unique_ptr<Expression> Parser::ParseExpression() {
  return ParseLevel(0);
}

Parser::Tree Parser::ParseLevel(size_t level) {
  if (level == std::size(kLevels)) return ParseUnary();
  Tree left = ParseLevel(level + 1);
  bool continues_chain = false;
  while (left != nullptr) {
    const Token token = lexer_.current();
    const auto found = std::find_if(kLevels[level].begin(), kLevels[level].end(),
                                    [&token](const Operator& candidate) { return candidate.token == token.kind; });
    if (found == kLevels[level].end()) return left;
    lexer_.Advance();
    if (!CheckOperator(token)) return nullptr;
    Tree right = ParseLevel(level + 1);
    if (right == nullptr) return nullptr;
    const bool chain = continues_chain && left->op == found->op && left->function == nullptr;
    left = Combine(found->op, chain, token.offset, std::move(left), std::move(right));
    continues_chain = IsChain(found->op);
  }
  return left;
}

bool Parser::CheckOperator(const Token& op) {
  if (op.kind == TokenKind::kEqual && lexer_.current().kind == TokenKind::kEqual) {
    Fail(op.offset, "'==' is no operator", "use =");
    return false;
  }
  return true;
}

Parser::Tree Parser::Combine(Op op, bool chain, size_t op_offset, Tree left, Tree right) {
  if (chain) {
    left->operands.push_back(std::move(right));
    if (left->operands.size() > kOperandsMax) {
      return Fail(op_offset, fmt::format("more than {} operands in a chain", kOperandsMax));
    }
    return CheckDepth(left.get()) ? std::move(left) : nullptr;
  }
  auto tree = std::make_unique<Expression>();
  tree->op = op;
  tree->offset = left->offset;
  tree->op_offset = op_offset;
  tree->operands.push_back(std::move(left));
  tree->operands.push_back(std::move(right));
  return CheckDepth(tree.get()) ? std::move(tree) : nullptr;
}

bool Parser::CheckDepth(Expression* tree) {
  for (const auto& operand : tree->operands) tree->depth = std::max(tree->depth, 1 + operand->depth);
  if (tree->depth <= kNestingMax) return true;
  Fail(tree->op_offset, fmt::format("nested deeper than {} levels", kNestingMax));
  return false;
}

Parser::Tree Parser::ParseUnary() {
  const Token token = lexer_.current();
  if (token.kind != TokenKind::kMinus && token.kind != TokenKind::kNot) return ParsePrimary();
  if (++nesting_ > kNestingMax) return Fail(token.offset, fmt::format("nested deeper than {} levels", kNestingMax));
  lexer_.Advance();
  Tree operand = ParseUnary();
  --nesting_;
  if (operand == nullptr) return nullptr;
  Tree tree = Leaf(token.kind == TokenKind::kMinus ? Op::kNegate : Op::kNot, token);
  tree->text.clear();
  tree->operands.push_back(std::move(operand));
  return CheckDepth(tree.get()) ? std::move(tree) : nullptr;
}

Parser::Tree Parser::Leaf(Op op, const Token& token) const {
  auto leaf = std::make_unique<Expression>();
  leaf->op = op;
  leaf->offset = token.offset;
  leaf->op_offset = token.offset;
  leaf->text = std::string(token.text);
  return leaf;
}

Parser::Tree Parser::ParsePrimary() {
  const Token token = lexer_.current();
  if (token.kind == TokenKind::kOpen) return ParseParentheses();
  if (token.kind == TokenKind::kDollarName) return ParseDollarName(false);
  if (token.kind == TokenKind::kOpenBrace) return ParseBraces();
  if (token.kind == TokenKind::kUnterminatedText) {
    return Fail(token.offset, "text without a closing quote",
                R"(inside of text write \' \" \\ for a quote or backslash)");
  }
  if (token.kind == TokenKind::kBracketedName) {
    return Fail(token.offset, fmt::format("'[' is allowed in body queries only, found {}", Quoted(token)),
                fmt::format("for a value of the body write $body.{}", token.text));
  }
  Tree tree;
  switch (token.kind) {
    case TokenKind::kIdentifier:
      lexer_.Advance();
      return lexer_.current().kind == TokenKind::kOpen ? ParseCall(token) : Leaf(Op::kProperty, token);
    case TokenKind::kNumber:
      tree = Leaf(Op::kNumber, token);
      tree->number = token.number;
      break;
    case TokenKind::kText:
      tree = Leaf(Op::kText, token);
      tree->text = Unescape(token.text);
      break;
    case TokenKind::kTrue:
    case TokenKind::kFalse:
      tree = Leaf(Op::kBool, token);
      tree->boolean = token.kind == TokenKind::kTrue;
      break;
    case TokenKind::kNull:
      tree = Leaf(Op::kNull, token);
      break;
    case TokenKind::kUndefined:
      tree = Leaf(Op::kUndefined, token);
      break;
    default:
      return Fail(token.offset, fmt::format("expected {} instead of {}", kExpectedOperand, Quoted(token)),
                  token.kind == TokenKind::kEqual ? "" : OperatorHint(token));
  }
  lexer_.Advance();
  return tree;
}

Parser::Tree Parser::ParseParentheses() {
  const size_t offset = lexer_.current().offset;
  if (++nesting_ > kNestingMax) return Fail(offset, fmt::format("nested deeper than {} levels", kNestingMax));
  lexer_.Advance();
  Tree tree = ParseExpression();
  --nesting_;
  if (tree == nullptr) return nullptr;
  if (lexer_.current().kind == TokenKind::kEnd || lexer_.current().kind == TokenKind::kInto) {
    return Fail(offset, "'(' without a ')' behind it");
  }
  return Expect(TokenKind::kClose, "an operator or ')'") ? std::move(tree) : nullptr;
}

Parser::Tree Parser::ParseDollarName(bool braces) {
  const Token token = lexer_.current();
  lexer_.Advance();
  const bool brackets = token.text.find_first_of("[]") != std::string_view::npos;
  if (StartsWithIgnoringCase(token.text, kBodyPrefix)) {
    Tree tree = Leaf(Op::kBody, token);
    tree->with_property = !braces && !brackets;
    size_t offset = 0;
    std::string error;
    if (ParseBodyPath(token.text.substr(kBodyPrefix.size()), &tree->path, &offset, &error)) return tree;
    return Fail(token.offset + kBodyPrefix.size() + offset, error);
  }
  // No property can have such a name.
  if (brackets) return Leaf(Op::kUndefined, token);
  Tree tree = Leaf(braces ? Op::kSystemProperty : Op::kDollarProperty, token);
  if (braces) tree->text.erase(0, 1);
  return tree;
}

Parser::Tree Parser::ParseBraces() {
  lexer_.Advance();
  if (lexer_.current().kind != TokenKind::kDollarName) {
    return Fail(lexer_.current().offset,
                fmt::format("expected a $name behind '{{' instead of {}", Quoted(lexer_.current())));
  }
  Tree tree = ParseDollarName(true);
  if (tree == nullptr) return nullptr;
  return Expect(TokenKind::kCloseBrace, "'}'") ? std::move(tree) : nullptr;
}

Parser::Tree Parser::ParseCall(const Token& name) {
  if (EqualsIgnoringCase(name.text, "twin_change_includes")) {
    return Fail(name.offset, "twin_change_includes can't be used in a route of a gateway",
                "test the value itself, as in FROM /twinChangeNotifications WHERE "
                "is_defined($body.properties.reported.temperature)");
  }
  const Function* const function = FindFunction(name.text);
  if (function == nullptr) {
    return Fail(name.offset, fmt::format("{} is no function", Quoted(name)), "functions are " + ListFunctions());
  }
  if (++nesting_ > kNestingMax) return Fail(name.offset, fmt::format("nested deeper than {} levels", kNestingMax));
  Tree call = Leaf(function->op, name);
  call->function = function;
  call->text.clear();
  lexer_.Advance();
  if (!ParseArguments(call.get())) return nullptr;
  --nesting_;
  const size_t given = call->operands.size();
  if (given < function->arguments_min || given > function->arguments_max) {
    return Fail(name.offset, fmt::format("{} takes {}, found {}", function->name, ArgumentCount(*function), given),
                fmt::format("use {}", function->usage));
  }
  return CheckDepth(call.get()) ? std::move(call) : nullptr;
}

bool Parser::ParseArguments(Expression* call) {
  if (lexer_.current().kind == TokenKind::kClose) {
    lexer_.Advance();
    return true;
  }
  for (;;) {
    Tree argument = ParseExpression();
    if (argument == nullptr) return false;
    call->operands.push_back(std::move(argument));
    if (lexer_.current().kind == TokenKind::kClose) {
      lexer_.Advance();
      return true;
    }
    if (lexer_.current().kind == TokenKind::kEnd) {
      Fail(call->offset, fmt::format("{}( without a ')' behind it", call->function->name));
      return false;
    }
    if (!Expect(TokenKind::kComma, "an operator, ',' or ')'")) return false;
    if (call->operands.size() >= kOperandsMax) {
      Fail(call->offset, fmt::format("more than {} arguments", kOperandsMax));
      return false;
    }
  }
}

}  // namespace holdfast::routes
