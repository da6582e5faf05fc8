#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "cli/web/site_state.h"

namespace holdfast::web {

enum class Severity : uint8_t { kInfo, kGood, kWarning, kBad };
std::string_view Name(Severity severity);

struct Event {
  uint64_t id = 0;  // from 1, without gaps
  absl::Duration at;
  absl::Time wall;
  std::string source;  // whose answer tells it: "uplink", "router", "store", "auth", "health"
  Severity severity = Severity::kInfo;
  std::string text;
};

nlohmann::json EventJson(const Event& event);

// What happened, read from how two rounds of answers differ: the services' APIs tell how things are, not what happened.
// So what came and went between two rounds is not seen, but for what left a trace in a counter or a socket. After
// the first round only what is wrong is told. Keeps the newest kEventsMax. Not thread-safe; no I/O.
class SiteEvents {
 public:
  static constexpr size_t kEventsMax = 200;
  // Bytes of an event's text; longer ones are cut.
  static constexpr size_t kTextMax = 300;

  void Add(const SiteState& state);

  const std::deque<Event>& events() const { return events_; }
  uint64_t last_id() const { return next_id_ - 1; }

 private:
  // What the next round is compared with.
  struct Seen {
    cli::Health health = cli::Health::kUnreachable;
    uint64_t life = 0;
  };

  void CompareInstances(const SiteState& state);
  void CompareLink(const SiteState& state);
  void CompareScope(const uplink::v1::GetUplinkStatusResponse& now, const uplink::v1::GetUplinkStatusResponse& before);
  void CompareTroubles(const uplink::v1::GetUplinkStatusResponse& now);
  void CompareStore(const SiteState& state);
  void CompareQueue(std::string_view name, const std::optional<store::v1::Queue>& queue,
                    std::optional<store::v1::Queue>* before);
  void CompareRouter(const SiteState& state);
  void CompareReadiness(const SiteState& state);
  void Tell(std::string source, Severity severity, std::string text);

  absl::Duration at_;
  absl::Time wall_;
  bool is_first_ = true;
  std::map<std::string, Seen> instances_;  // "router 0"
  std::optional<uplink::v1::GetUplinkStatusResponse> uplink_;
  std::map<std::string, std::string> troubles_;  // reason by identity
  std::optional<store::v1::GetStoreStatusResponse> store_;
  std::optional<store::v1::Queue> upstream_;
  std::optional<store::v1::Queue> dead_;
  std::optional<router::v1::GetRouterStatusResponse> router_;
  std::optional<bool> ready_;
  std::deque<Event> events_;
  uint64_t next_id_ = 1;
};

}  // namespace holdfast::web
