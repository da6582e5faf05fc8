#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "lib/base/string_map.h"
#include "lib/iothub/user_name.h"
#include "services/uplink/scope_page.h"

namespace holdfast::uplink {

// IoT Hub's device scope API has two shapes (contract: device scope). Nested: POST, with an auth-chain, for child
// gateways too. Flat: GET, the gateway's own children only.
enum class ScopeApi : uint8_t { kNested, kFlat };

// One HTTP request, on the hub's REST endpoint.
struct ScopeCall {
  bool operator==(const ScopeCall&) const = default;
  bool post = false;
  std::string path;  // with the query
  std::string body;  // JSON, if post
};

struct ScopeOptions {
  std::string gateway;  // the gateway's device id
  ScopeApi api = ScopeApi::kNested;
  // Devices asked for in one page.
  uint32_t page_size = 10;
};

// Of child gateways below this one.
inline constexpr int kScopeDepthMax = 5;
// Pages of one walk: 20,000 identities are all that auth takes.
inline constexpr uint32_t kScopePagesMax = 20'000;

// The call for one identity.
ScopeCall SingleCall(const ScopeOptions& options, const iothub::Identity& identity, std::string_view parents);

// A walk through everybody below a gateway: the next call, given the answers so far. Page after page of the gateway's
// own children, then of its child gateways, breadth first. Pure.
class ScopeWalk {
 public:
  explicit ScopeWalk(ScopeOptions options);
  // Through everybody below a child gateway only. `above`: the gateways between it and ours, nearest to it first, as
  // ChildLogin wants them. The shape must be the nested one.
  ScopeWalk(ScopeOptions options, const std::string& child, const std::string& above);

  // nullopt: that was everybody.
  std::optional<ScopeCall> Next() const;

  // The answer to Next(). INVALID_ARGUMENT if following it would never end, or would lead to another host.
  absl::Status OnPage(const ScopePage& page);

  // The hub does not know the nested shape (404, 405): true if the walk begins anew in the flat one. Never below a
  // child gateway.
  bool FallBack();

  ScopeApi api() const { return options_.api; }
  uint32_t pages() const { return pages_; }
  // By device, for those below child gateways: the gateways between, as ChildLogin wants them.
  StringMap<std::string> TakeParents() { return std::move(parents_); }
  // The gateways whose children it asked for.
  StringSet TakeGateways() { return std::move(seen_); }

 private:
  struct Target {
    std::string device_id;
    // The gateways between it and ours, nearest to it first.
    std::string above;
    int depth = 0;
  };

  ScopeOptions options_;
  std::deque<Target> targets_;
  std::optional<std::string> continuation_;
  uint32_t pages_ = 0;
  StringSet seen_;
  StringMap<std::string> parents_;
};

}  // namespace holdfast::uplink
