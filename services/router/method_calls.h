// Direct methods on clients of this gateway (IoT Hub contract: direct methods).
#pragma once

#include <string_view>

#include "services/router/with_session.h"

namespace holdfast::router {

// Calls under way, from whoever calls to the client and back. Thread-safe.
class MethodCalls {
 public:
  explicit MethodCalls(WithSession with_session) : with_session_(std::move(with_session)) {}

  // On the session's thread, all three.
  // The client may have begun or ceased to listen to methods (Session::interests()). Called when it has started, too.
  void OnInterests(Session& session) {}
  // The client published to $iothub/methods/res/{status}/?$rid={rid}; `topic` is all of it.
  void OnResponse(Session& session, std::string_view topic, std::string_view payload) {}
  void OnClosed(Session& session) {}

  // Answers what is under way; from now on everything is UNAVAILABLE.
  void Stop() {}

 private:
  const WithSession with_session_;
};

}  // namespace holdfast::router
