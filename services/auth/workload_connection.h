// The workload API's wire: HTTP/1.1 by Boost.Beast, which is included in workload_connection.cc only.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "services/auth/workload_api.h"

namespace holdfast::auth {

inline constexpr size_t kWorkloadHeaderBytesMax = 8 << 10;  // of a request; more is answered with 431
inline constexpr size_t kWorkloadBodyBytesMax = 1 << 20;    // likewise, with 413

// One connection of one module, from its first request to its end. Not thread-safe; its coroutine owns it.
class WorkloadConnection {
 public:
  using OnAnswered = std::function<void(const WorkloadResponse&)>;

  // `timeout`: for a request to arrive, for its answer to leave, and between the two. The references must outlive it.
  WorkloadConnection(boost::asio::local::stream_protocol::socket socket, const std::string& module_id,
                     const WorkloadApi& api, absl::Duration timeout, const OnAnswered& on_answered);
  ~WorkloadConnection();

  // Answers one request after the other until the peer closes, goes silent, or says what is no HTTP. The caller keeps
  // the object alive until it is done.
  boost::asio::awaitable<void> Run();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

// The bytes that answer the first request in `bytes`, which a peer sent and then closed its end; empty if there is none
// to answer.
std::string AnswerWorkloadBytes(const WorkloadApi& api, std::string_view module_id, std::string_view bytes);

}  // namespace holdfast::auth
