// Messages for clients: from their queues in the store to their sessions.
#pragma once

#include <cstdint>
#include <functional>

#include "lib/rpc/channel.h"
#include "services/router/io_thread.h"
#include "services/router/router_metrics.h"
#include "services/router/router_options.h"

namespace holdfast::router {

class Session;

// The clients of one io thread that wait for messages: module inputs and cloud-to-device. Belongs to its thread and is
// used on it only, except for the constructor.
class Deliveries {
 public:
  // All must outlive it.
  Deliveries(const RouterOptions* options, IoThread* thread, rpc::Channels* store, RouterMetrics* metrics);

  // The session may have begun or ceased to wait for messages (Session::interests()). Called when it has started, too.
  void OnInterests(Session& session);
  // The client acknowledged a message of QoS 1.
  void OnPuback(Session& session, uint16_t packet_id);
  // The session's output was taken entirely: there is room for more.
  void OnWritten(Session& session);
  void OnClosed(Session& session);

  // Nothing is delivered any more. Calls `done` when no call to the store is under way; only then may the thread be
  // stopped.
  void Stop(std::function<void()> done);
};

}  // namespace holdfast::router
