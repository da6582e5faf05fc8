#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/string_map.h"

namespace holdfast::hubsim {

// Limits of direct methods (IoT Hub contract: direct methods).
inline constexpr size_t kMethodNameBytesMax = 100;
inline constexpr size_t kMethodPayloadBytesMax = 128 << 10;
inline constexpr int64_t kMethodTimeoutSecondsMin = 1;  // IoT Hub: 5; a test has no time
inline constexpr int64_t kMethodTimeoutSecondsMax = 300;
inline constexpr size_t kMethodCallsMax = 1000;

struct MethodCall {
  std::string client;  // "device" or "device/module"
  std::string name;
  std::string payload;  // JSON
  absl::Duration connect_timeout;
  absl::Duration response_timeout;
};
struct MethodResult {
  int status = 0;
  std::string payload;
};

// Direct methods that wait for their answer. Not thread-safe.
class Methods {
 public:
  // `send` sends a request to a client, and returns false if that is not connected or not subscribed.
  using Send = std::function<bool(const MethodCall& call, const std::string& rid)>;

  Methods(boost::asio::io_context& io, Send send) : io_(io), send_(std::move(send)) {}

  // NOT_FOUND: the client did not come within connect_timeout. DEADLINE_EXCEEDED: it did not answer within
  // response_timeout. RESOURCE_EXHAUSTED: too many calls. `call` must live as long.
  boost::asio::awaitable<absl::StatusOr<MethodResult>> Invoke(const MethodCall& call);

  // A client can be asked now.
  void OnReady(std::string_view client);
  // Its answer; one that nobody waits for is dropped.
  void OnResponse(std::string_view client, std::string_view rid, int status, std::string_view payload);

  // Ends all waits.
  void Stop();

 private:
  struct Waiter {
    explicit Waiter(boost::asio::io_context& io) : timer(io) {}
    std::string client;
    std::string rid;  // empty: waits for the client to come
    bool done = false;
    MethodResult result;
    boost::asio::steady_timer timer;
  };

  boost::asio::io_context& io_;
  const Send send_;
  uint64_t next_rid_ = 1;
  bool stopped_ = false;
  std::vector<std::shared_ptr<Waiter>> waiters_;
};

}  // namespace holdfast::hubsim
