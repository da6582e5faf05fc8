// Where a message goes: the route table (lib/routes), in the terms of the store.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "lib/record/queue_names.h"
#include "lib/routes/bag_message.h"
#include "lib/routes/route_table.h"

namespace holdfast::router {

// A lane of a queue in the store.
struct Endpoint {
  std::string queue;
  uint32_t priority = 0;
  // 0 = the queue's own.
  int32_t ttl_seconds = 0;

  bool operator==(const Endpoint&) const = default;
};

inline constexpr uint32_t kDefaultPriority = routes::kDefaultPriority;

// One copy of a message.
struct Copy {
  Endpoint endpoint;
  // Of a module; empty otherwise.
  std::string input_name;
  // Into the inbox of a device.
  bool to_inbox = false;
  // For a client of this gateway, which may send it on: hops count.
  bool to_client() const { return to_inbox || !input_name.empty(); }
};

// The routes in force. Immutable, thread-safe.
class Routes {
 public:
  using Copies = absl::InlinedVector<const Copy*, 8>;

  // `gateway_device_id`: whose modules the routes name. FAILED_PRECONDITION if they name some and it is empty.
  static absl::StatusOr<std::shared_ptr<const Routes>> Create(std::shared_ptr<const routes::RouteTable> table,
                                                              const std::string& gateway_device_id);
  // `FROM /messages/* INTO $upstream`, what a gateway does when nothing else is configured.
  static std::shared_ptr<const Routes> Default();

  // The copies of a message, one an endpoint; valid as long as the object. Empty: *no_match says why. No heap
  // allocation up to eight, but for what conditions need. Where all messages go the same way, nothing is looked at.
  Copies Route(const routes::BagMessageParts& message, routes::NoMatch* no_match) const;

  // The queues of clients that messages may go to, each once.
  std::vector<std::string> ClientQueues() const;

 private:
  explicit Routes(std::shared_ptr<const routes::RouteTable> table) : table_(std::move(table)) {}
  Copies CopiesOf(const routes::Decision& decision) const;

  const std::shared_ptr<const routes::RouteTable> table_;
  // By the route that decides.
  std::vector<Copy> copies_;
  // What every message of a client gets; empty if that differs.
  Copies for_all_;
};

}  // namespace holdfast::router
