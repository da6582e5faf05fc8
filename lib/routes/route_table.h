// The routes in force: which endpoints a message goes to (IoT Edge contract C6).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "lib/routes/route.h"

namespace holdfast::routes {

// Priorities of routes: 0 (first) to 9, and this one, behind all, for a route that names none.
inline constexpr uint32_t kPriorityMax = 9;
inline constexpr uint32_t kDefaultPriority = 2'000'000'000;
// Routes in a table at most.
inline constexpr size_t kRoutesMax = 1000;
// Bytes in the name of a route at most.
inline constexpr size_t kRouteNameBytesMax = 256;

// A route as it is configured.
struct RouteDefinition {
  std::string name;
  std::string text;
  uint32_t priority = kDefaultPriority;
  // 0 = the gateway's own (storeAndForwardConfiguration.timeToLiveSecs).
  uint32_t ttl_seconds = 0;

  bool operator==(const RouteDefinition&) const = default;
};

// 1 to kRouteNameBytesMax bytes without '.', '$', '#' and ' ' (C6: `^[^\.\$# ]+$`).
bool IsRouteName(std::string_view name);

// Why a table was refused; one for each route at fault.
struct RouteError {
  std::string route;
  CompileError error;

  // "route NAME, column 12: message (hint)".
  std::string Text() const;
};

// One copy of a message.
struct Destination {
  // Index into RouteTable::endpoints().
  uint32_t endpoint = 0;
  uint32_t priority = kDefaultPriority;
  // 0 = the gateway's own.
  uint32_t ttl_seconds = 0;
  // Index of the route that gave priority and TTL, into RouteTable::routes().
  uint32_t route = 0;

  bool operator==(const Destination&) const = default;
};

// Why a message goes nowhere.
enum class NoMatch : uint8_t {
  // It does go somewhere.
  kNone,
  // The table is empty, or no route's FROM names the message's source.
  kSource,
  // Every condition that was looked at is false.
  kFalse,
  // None is true and at least one is undefined: a property or a body value that is not there, or a body that can't be
  // queried (content type, encoding).
  kUndefined,
};
inline constexpr size_t kNoMatchReasons = 4;
// For metrics and logs: "matched", "no_source", "condition_false", "condition_undefined".
std::string_view Text(NoMatch reason);

struct Decision {
  // One for each endpoint that gets a copy, in the order of RouteTable::endpoints().
  absl::InlinedVector<Destination, 8> destinations;
  NoMatch no_match = NoMatch::kNone;
};

// What is counted of one route since the table was made.
struct RouteCounts {
  // Messages of its source whose condition was true.
  uint64_t matched = 0;
  // …was undefined.
  uint64_t undefined = 0;
};

// A set of compiled routes. Immutable but for its counters, which are atomic: share one between threads by
// shared_ptr and replace the pointer to change the routes. Thread-safe.
class RouteTable {
 public:
  // All or nothing: one bad route refuses the table. INVALID_ARGUMENT lists every route at fault, one a line; *errors,
  // if not null, gets them in parts. Names must be unique and follow IsRouteName, priorities be 0-9 or the default. No
  // routes at all is a valid table, in which nothing matches. The order of `routes` decides between routes of equal
  // priority into one endpoint (whose TTL counts): the first wins.
  static absl::StatusOr<std::shared_ptr<const RouteTable>> Compile(std::vector<RouteDefinition> routes,
                                                                   const Options& options = {},
                                                                   std::vector<RouteError>* errors = nullptr);

  // Evaluates every route whose source matches; an endpoint gets one copy, at the best (lowest) priority of the routes
  // that are true, with that route's TTL. Counts. No heap allocation up to eight endpoints, but for what conditions
  // need (Condition::Evaluate).
  Decision Evaluate(const Message& message) const;

  // What every message of a client gets, if no route looks at it: none has a condition, and all of them take the
  // messages of devices and with them all others. Counts nothing; CountAsMatchedByAll() does, for each message.
  std::optional<Decision> SameForAll() const;
  void CountAsMatchedByAll() const { matched_by_all_.count.fetch_add(1, std::memory_order_relaxed); }

  struct Entry {
    RouteDefinition definition;
    Route route;
    // Index into endpoints().
    uint32_t endpoint = 0;
  };
  const std::vector<Entry>& routes() const { return routes_; }
  // Those that routes end in, each once, in the order of the routes.
  const std::vector<Endpoint>& endpoints() const { return endpoints_; }

  RouteCounts counts(size_t route) const;
  // Messages by reason; of kNone: those that matched.
  uint64_t messages(NoMatch reason) const;

 private:
  RouteTable() = default;
  // Route `i` is true. Keeps one destination for each endpoint, at the best priority; of equal ones the first.
  void Add(size_t i, Decision* decision) const;
  struct alignas(64) Counters {
    std::atomic<uint64_t> matched = 0;
    std::atomic<uint64_t> undefined = 0;
  };

  std::vector<Entry> routes_;
  std::vector<Endpoint> endpoints_;
  std::unique_ptr<Counters[]> counters_;
  struct alignas(64) MessageCounter {
    std::atomic<uint64_t> count = 0;
  };
  mutable MessageCounter messages_[kNoMatchReasons];
  mutable MessageCounter matched_by_all_;
};

}  // namespace holdfast::routes
