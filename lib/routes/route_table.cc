#include "lib/routes/route_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "lib/base/string_map.h"
#include "lib/routes/message_body.h"

namespace holdfast::routes {
namespace {

// Nothing of the text of a route is at fault.
constexpr int kNoColumn = 0;

CompileError WithoutColumn(std::string message, std::string hint = {}) {
  return {kNoColumn, std::move(message), std::move(hint)};
}

absl::Status Refuse(std::vector<RouteError> found, std::vector<RouteError>* errors) {
  std::vector<std::string> lines;
  for (const RouteError& error : found) lines.push_back(error.Text());
  absl::Status status = absl::InvalidArgumentError(fmt::format("{}", fmt::join(lines, "\n")));
  if (errors != nullptr) *errors = std::move(found);
  return status;
}

// What is wrong with everything but the text; column 0 and no message if nothing is.
CompileError CheckDefinition(const RouteDefinition& definition) {
  if (!IsRouteName(definition.name)) {
    return WithoutColumn(fmt::format("a name must have 1 to {} bytes and none of . $ # and blank", kRouteNameBytesMax));
  }
  if (definition.priority > kPriorityMax && definition.priority != kDefaultPriority) {
    return WithoutColumn(fmt::format("priority {} is not 0 to {}", definition.priority, kPriorityMax),
                         fmt::format("leave it out for the last, {}", kDefaultPriority));
  }
  return {};
}

uint32_t IndexOf(const Endpoint& endpoint, std::vector<Endpoint>* endpoints) {
  const auto found = std::find(endpoints->begin(), endpoints->end(), endpoint);
  if (found != endpoints->end()) return static_cast<uint32_t>(found - endpoints->begin());
  endpoints->push_back(endpoint);
  return static_cast<uint32_t>(endpoints->size() - 1);
}

void Sort(Decision* decision) {
  std::sort(decision->destinations.begin(), decision->destinations.end(),
            [](const Destination& a, const Destination& b) { return a.endpoint < b.endpoint; });
}

}  // namespace

bool IsRouteName(std::string_view name) {
  return !name.empty() && name.size() <= kRouteNameBytesMax && name.find_first_of(".$# ") == std::string_view::npos;
}

std::string_view Text(NoMatch reason) {
  switch (reason) {
    case NoMatch::kNone:
      return "matched";
    case NoMatch::kSource:
      return "no_source";
    case NoMatch::kFalse:
      return "condition_false";
    case NoMatch::kUndefined:
      return "condition_undefined";
  }
  return "";
}

std::string RouteError::Text() const {
  if (error.column != kNoColumn) return fmt::format("route {}, {}", route, error.Text());
  return fmt::format("route {}: {}{}", route, error.message, error.hint.empty() ? "" : " (" + error.hint + ")");
}

absl::StatusOr<std::shared_ptr<const RouteTable>> RouteTable::Compile(std::vector<RouteDefinition> routes,
                                                                      const Options& options,
                                                                      std::vector<RouteError>* errors) {
  if (routes.size() > kRoutesMax) {
    return Refuse({{"*", WithoutColumn(fmt::format("{} routes, {} are allowed", routes.size(), kRoutesMax))}}, errors);
  }
  std::vector<RouteError> found;
  StringSet names;
  std::shared_ptr<RouteTable> table(new RouteTable);
  for (RouteDefinition& definition : routes) {
    CompileError error = CheckDefinition(definition);
    if (error.message.empty() && !names.insert(definition.name).second) error = WithoutColumn("the name is used twice");
    if (!error.message.empty()) found.push_back({definition.name, std::move(error)});
    absl::StatusOr<Route> route = Route::Compile(definition.text, options, &error);
    if (!route.ok()) {
      found.push_back({definition.name, std::move(error)});
      continue;
    }
    const uint32_t endpoint = IndexOf(route->endpoint, &table->endpoints_);
    table->routes_.push_back({std::move(definition), *std::move(route), endpoint});
  }
  if (!found.empty()) return Refuse(std::move(found), errors);
  table->counters_ = std::make_unique<Counters[]>(table->routes_.size());
  return table;
}

void RouteTable::Add(size_t i, Decision* decision) const {
  const Entry& entry = routes_[i];
  const Destination destination = {entry.endpoint, entry.definition.priority, entry.definition.ttl_seconds,
                                   static_cast<uint32_t>(i)};
  for (Destination& other : decision->destinations) {
    if (other.endpoint != destination.endpoint) continue;
    if (destination.priority < other.priority) other = destination;
    return;
  }
  decision->destinations.push_back(destination);
}

std::optional<Decision> RouteTable::SameForAll() const {
  if (routes_.empty()) return std::nullopt;
  Decision decision;
  for (size_t i = 0; i < routes_.size(); ++i) {
    const Route& route = routes_[i].route;
    // A source that matches a device's message matches every other: that of a module is longer.
    if (route.condition.has_value() || !route.source.Matches(kLeafSource)) return std::nullopt;
    Add(i, &decision);
  }
  Sort(&decision);
  return decision;
}

Decision RouteTable::Evaluate(const Message& message) const {
  Decision decision;
  MessageBody body(message);
  bool source_matched = false;
  bool undefined = false;
  for (size_t i = 0; i < routes_.size(); ++i) {
    const Entry& entry = routes_[i];
    if (!entry.route.source.Matches(message.source())) continue;
    source_matched = true;
    const Truth truth = entry.route.condition ? entry.route.condition->Evaluate(message, body) : Truth::kTrue;
    if (truth == Truth::kUndefined) {
      undefined = true;
      counters_[i].undefined.fetch_add(1, std::memory_order_relaxed);
    } else if (truth == Truth::kTrue) {
      counters_[i].matched.fetch_add(1, std::memory_order_relaxed);
      Add(i, &decision);
    }
  }
  Sort(&decision);
  if (decision.destinations.empty()) {
    decision.no_match = !source_matched ? NoMatch::kSource : (undefined ? NoMatch::kUndefined : NoMatch::kFalse);
  }
  messages_[static_cast<size_t>(decision.no_match)].count.fetch_add(1, std::memory_order_relaxed);
  return decision;
}

RouteCounts RouteTable::counts(size_t route) const {
  const uint64_t by_all = matched_by_all_.count.load(std::memory_order_relaxed);
  return {counters_[route].matched.load(std::memory_order_relaxed) + by_all,
          counters_[route].undefined.load(std::memory_order_relaxed)};
}

uint64_t RouteTable::messages(NoMatch reason) const {
  const uint64_t by_all = reason == NoMatch::kNone ? matched_by_all_.count.load(std::memory_order_relaxed) : 0;
  return messages_[static_cast<size_t>(reason)].count.load(std::memory_order_relaxed) + by_all;
}

}  // namespace holdfast::routes
