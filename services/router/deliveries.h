// Messages for clients: from their queues in the store to their sessions.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/container/btree_map.h"
#include "lib/base/clock.h"
#include "lib/base/string_map.h"
#include "lib/rpc/channel.h"
#include "services/router/client_feed.h"
#include "services/router/io_thread.h"
#include "services/router/log_limit.h"
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
  ~Deliveries();

  // The session may have begun or ceased to wait for messages (Session::interests()). Called when it has started, too.
  void OnInterests(Session& session);
  // The client acknowledged a message of QoS 1.
  void OnPuback(Session& session, uint16_t packet_id);
  // The session's output was taken entirely: there is room for more.
  void OnWritten(Session& session);
  void OnClosed(Session& session);
  // Nothing is kept of the client's MQTT session any more, connected or not: identifiers and DUP are void.
  void Forget(const std::string& client_id);

  // Nothing is delivered any more. Calls `done` when no call to the store is under way; only then may the thread be
  // stopped.
  void Stop(std::function<void()> done);

 private:
  friend class ClientFeed;

  ClientFeed* Find(const std::string& client_id);
  // What feeds tell.
  void Held(ClientFeed* feed, size_t before);
  void Progressed(ClientFeed* feed);
  void CallBegins() { ++calls_; }
  void CallEnded();
  void EraseIfIdle(ClientFeed* feed);

  const RouterOptions& options_;
  IoThread& thread_;
  rpc::Channels& store_;
  RouterMetrics& metrics_;
  LogLimit log_limit_;

  // By client id.
  StringMap<std::shared_ptr<ClientFeed>> feeds_;
  // Those that hold blocks, the one whose last progress is the oldest first.
  absl::btree_map<uint64_t, ClientFeed*> holders_;
  uint64_t next_turn_ = 1;
  size_t held_bytes_ = 0;
  // Streams and commits that have not ended.
  size_t calls_ = 0;
  std::function<void()> on_stopped_;
  // For building topics.
  std::string topic_;
};

}  // namespace holdfast::router
