// Twins as clients see them (IoT Hub contract: twin over MQTT).
#pragma once

#include <string_view>

#include "services/router/with_session.h"

namespace holdfast::router {

// Answers twin requests of clients from the copy in the store, and tells those who subscribed of desired properties
// that have changed. Thread-safe.
class TwinRequests {
 public:
  explicit TwinRequests(WithSession with_session) : with_session_(std::move(with_session)) {}

  // On the session's thread, all four.
  // The client may have begun or ceased to wait for desired properties (Session::interests()). Called when it has
  // started, too.
  void OnInterests(Session& session) {}
  // `rid` is never empty.
  void OnGet(Session& session, std::string_view rid);
  // `rid` empty: no answer is wanted.
  void OnReportedPatch(Session& session, std::string_view rid, std::string_view patch);
  void OnClosed(Session& session) {}

  void Stop() {}

 private:
  const WithSession with_session_;
};

}  // namespace holdfast::router
