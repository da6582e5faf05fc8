#include "lib/routes/route.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lib/routes/lexer.h"
#include "lib/routes/parser.h"
#include "lib/routes/text.h"
#include "lib/routes/type_check.h"

namespace holdfast::routes {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";
// Bytes in a device id, module id or input name at most.
constexpr size_t kEndpointNameBytesMax = 128;
constexpr std::string_view kSinkHint =
    R"(write INTO $upstream, INTO BrokeredEndpoint("/modules/MODULE/inputs/INPUT") or )"
    R"(INTO BrokeredEndpoint("/devices/DEVICE/inbox"))";

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

// The next segment of a path and what is behind it, empty segments passed over; empty at the end.
std::string_view NextSegment(std::string_view* path) {
  while (path->starts_with('/')) path->remove_prefix(1);
  const std::string_view segment = path->substr(0, path->find('/'));
  path->remove_prefix(segment.size());
  return segment;
}

class RouteParser {
 public:
  RouteParser(std::string_view text, const Options& options) : lexer_(text), options_(options) {}

  std::optional<Route> Parse() {
    std::string source;
    if (!ParseFrom(&source)) return std::nullopt;
    Route route{.source = SourcePattern(source)};
    if (const std::string warning = route.source.Warning(); !warning.empty()) route.warnings.push_back(warning);
    if (!ParseWhere(&route) || !ParseInto(&route.endpoint)) return std::nullopt;
    return route;
  }
  CompileError& error() { return error_; }

 private:
  bool ParseFrom(std::string* source);
  bool ParseWhere(Route* route);
  bool ParseInto(Endpoint* endpoint);
  bool ParseBrokeredEndpoint(Endpoint* endpoint);
  bool ReadAddress(const Token& token, Endpoint* endpoint);
  bool Take(TokenKind kind) {
    if (lexer_.current().kind != kind) return false;
    lexer_.Advance();
    return true;
  }
  bool Fail(const Token& token, std::string_view expected, std::string_view hint = {}) {
    error_ = {Column(lexer_.text(), token.offset), fmt::format("expected {} instead of {}", expected, Quoted(token)),
              std::string(hint)};
    return false;
  }

  Lexer lexer_;
  const Options options_;
  CompileError error_;
};

bool RouteParser::ParseFrom(std::string* source) {
  if (Take(TokenKind::kSelect)) {
    if (!Take(TokenKind::kStar)) return Fail(lexer_.current(), "* behind SELECT", "routes select whole messages");
    if (!Take(TokenKind::kFrom)) return Fail(lexer_.current(), "FROM");
  } else if (!Take(TokenKind::kFrom)) {
    return Fail(lexer_.current(), "FROM or SELECT * FROM", "a route is FROM source [WHERE condition] INTO sink");
  }
  if (lexer_.ReadPath(source)) return true;
  return Fail(lexer_.current(), source->empty() ? "a source behind FROM" : "a name or * behind '/'",
              "as in FROM /messages/*");
}

bool RouteParser::ParseWhere(Route* route) {
  if (!Take(TokenKind::kWhere)) {
    if (lexer_.current().kind == TokenKind::kInto) return true;
    return Fail(lexer_.current(), "WHERE or INTO");
  }
  const size_t begin = lexer_.current().offset;
  std::unique_ptr<Expression> tree;
  if (lexer_.current().kind != TokenKind::kInto) {
    Parser parser(&lexer_);
    tree = parser.ParseExpression();
    if (tree == nullptr || !parser.CheckEnd(/*in_route=*/true)) {
      error_ = parser.error();
      return false;
    }
    if (!CheckTypes(lexer_.text(), tree.get(), &error_)) return false;
  }
  route->condition_text = std::string(Trim(lexer_.text().substr(begin, lexer_.current().offset - begin)));
  route->condition.emplace(tree.get(), options_);
  for (std::string& warning : route->condition->Warnings()) route->warnings.push_back(std::move(warning));
  if (tree == nullptr) route->warnings.emplace_back("an empty condition is never true; leave WHERE out");
  return true;
}

bool RouteParser::ParseInto(Endpoint* endpoint) {
  if (!Take(TokenKind::kInto)) return Fail(lexer_.current(), "INTO", kSinkHint);
  const Token sink = lexer_.current();
  if (sink.kind == TokenKind::kDollarName && EqualsIgnoringCase(sink.text, "$upstream")) {
    lexer_.Advance();
  } else if (sink.kind == TokenKind::kIdentifier && EqualsIgnoringCase(sink.text, "BrokeredEndpoint")) {
    lexer_.Advance();
    if (!ParseBrokeredEndpoint(endpoint)) return false;
  } else {
    return Fail(sink, "a sink behind INTO", kSinkHint);
  }
  if (lexer_.current().kind == TokenKind::kEnd) return true;
  return Fail(lexer_.current(), "the end of the route", "a route has one sink; make one route for each");
}

bool RouteParser::ParseBrokeredEndpoint(Endpoint* endpoint) {
  if (!Take(TokenKind::kOpen)) return Fail(lexer_.current(), "( behind BrokeredEndpoint", kSinkHint);
  const Token address = lexer_.current();
  if (!Take(TokenKind::kText)) return Fail(address, "an address in quotes", kSinkHint);
  if (!ReadAddress(address, endpoint)) return false;
  return Take(TokenKind::kClose) || Fail(lexer_.current(), ") behind the address");
}

bool RouteParser::ReadAddress(const Token& token, Endpoint* endpoint) {
  const std::string address = Unescape(token.text);
  std::string_view rest = address;
  std::vector<std::string_view> segments;
  while (rest.starts_with('/')) {
    rest.remove_prefix(1);
    segments.push_back(rest.substr(0, rest.find('/')));
    rest.remove_prefix(segments.back().size());
  }
  const bool named = rest.empty() && std::all_of(segments.begin(), segments.end(), [](std::string_view segment) {
                       return !segment.empty() && segment.size() <= kEndpointNameBytesMax;
                     });
  if (named && segments.size() == 4 && EqualsIgnoringCase(segments[0], "modules") &&
      EqualsIgnoringCase(segments[2], "inputs")) {
    *endpoint = {Endpoint::Kind::kModuleInput, std::string(segments[1]), std::string(segments[3]), ""};
    return true;
  }
  if (named && segments.size() == 3 && EqualsIgnoringCase(segments[0], "devices") &&
      EqualsIgnoringCase(segments[2], "inbox")) {
    *endpoint = {Endpoint::Kind::kDeviceInbox, "", "", std::string(segments[1])};
    return true;
  }
  return Fail(token, "an address of a module's input or a device's inbox", kSinkHint);
}

}  // namespace

std::string Endpoint::Text() const {
  switch (kind) {
    case Kind::kUpstream:
      return "$upstream";
    case Kind::kModuleInput:
      return fmt::format(R"(BrokeredEndpoint("/modules/{}/inputs/{}"))", module_id, input);
    case Kind::kDeviceInbox:
      return fmt::format(R"(BrokeredEndpoint("/devices/{}/inbox"))", device_id);
  }
  return "";
}

SourcePattern::SourcePattern(std::string_view text) : text_(text) {
  while (text.ends_with('*') || text.ends_with('/')) text.remove_suffix(1);
  while (!text.empty()) {
    const std::string_view segment = NextSegment(&text);
    if (!segment.empty()) segments_.emplace_back(segment);
  }
}

bool SourcePattern::Matches(std::string_view source) const {
  for (const std::string& segment : segments_) {
    if (!EqualsIgnoringCase(segment, NextSegment(&source))) return false;
  }
  return true;
}

std::string SourcePattern::Warning() const {
  const auto is = [this](size_t i, std::string_view name) {
    return i >= segments_.size() || EqualsIgnoringCase(segments_[i], name);
  };
  for (const std::string& segment : segments_) {
    if (segment == "*") return fmt::format("source {} never matches: a * stands for nothing but the rest", text_);
  }
  const bool twins = is(0, "twinChangeNotifications") && segments_.size() <= 1;
  const bool messages = is(0, "messages") && is(1, "modules") && is(3, "outputs") && segments_.size() <= 5;
  if (twins || messages) return "";
  return fmt::format(
      "source {} never matches: messages come from /messages/, /messages/modules/MODULE/outputs/OUTPUT and "
      "/twinChangeNotifications",
      text_);
}

absl::StatusOr<Route> Route::Compile(std::string_view text, const Options& options, CompileError* error) {
  CompileError found;
  if (text.size() > kRouteBytesMax) {
    found = {1, fmt::format("{} bytes long, {} are allowed", text.size(), kRouteBytesMax), ""};
  } else {
    RouteParser parser(text, options);
    std::optional<Route> route = parser.Parse();
    if (route) return *std::move(route);
    found = std::move(parser.error());
  }
  absl::Status status = absl::InvalidArgumentError(found.Text());
  if (error != nullptr) *error = std::move(found);
  return status;
}

}  // namespace holdfast::routes
