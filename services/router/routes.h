// Where a message goes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::router {

// A lane of a queue in the store.
struct Endpoint {
  std::string queue;
  uint32_t priority = 0;
  // 0 = the queue's own.
  int32_t ttl_seconds = 0;

  bool operator==(const Endpoint&) const = default;
};

// What a route may look at. Views.
struct RoutedMessage {
  std::string_view device_id;
  std::string_view module_id;
  std::string_view property_bag;
  std::string_view body;
};

inline constexpr std::string_view kUpstreamQueue = "upstream";
inline constexpr uint32_t kDefaultPriority = 2'000'000'000;

// The routes in force: `FROM /messages/* INTO $upstream`, what a gateway does when nothing else is configured.
// Immutable, thread-safe.
class Routes {
 public:
  Routes();
  // The queues that messages may go to.
  const std::vector<std::string>& queues() const { return queues_; }
  // Never empty; valid as long as the object.
  std::span<const Endpoint> Route(const RoutedMessage& message) const { return default_; }

 private:
  const Endpoint upstream_;
  const std::span<const Endpoint> default_;
  const std::vector<std::string> queues_;
};

}  // namespace holdfast::router
