// The other end of hubsim's control API: for the demo and for system tests.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace holdfast::hubsim {

// One message that the hub took.
struct Event {
  uint64_t seq = 0;
  std::string device_id;
  std::string module_id;
  std::string actor;  // the gateway that spoke for it; "" = itself
  std::string topic;
  nlohmann::json properties;
  std::string body;
};

struct ControlAnswer {
  int status = 0;
  std::string body;
};

// Requests to 127.0.0.1:port, one after the other, each waited for. Thread-safe.
class ControlClient {
 public:
  explicit ControlClient(uint16_t port) : port_(port) {}

  // The answer, whatever its status. UNAVAILABLE: nobody answers.
  absl::StatusOr<ControlAnswer> Exchange(std::string_view method, const std::string& target,
                                         const std::string& body = "") const;

  // The body of the answer. UNAVAILABLE: nobody answers; INVALID_ARGUMENT with the hub's words: status 400 or above.
  absl::StatusOr<std::string> Request(std::string_view method, const std::string& target,
                                      const std::string& body = "") const;
  absl::StatusOr<nlohmann::json> Get(const std::string& target) const;
  absl::Status Post(const std::string& target, const nlohmann::json& body) const;
  absl::Status Put(const std::string& target, const nlohmann::json& body) const;
  absl::Status Delete(const std::string& target) const;

  // {"kind":"refuse"}, as in hubsim's README.
  absl::Status AddFault(const nlohmann::json& fault) const { return Post("/faults", fault); }
  absl::Status ClearFaults() const { return Delete("/faults"); }

  uint16_t port() const { return port_; }

 private:
  const uint16_t port_;
};

// GET /events?follow=true, on a thread of its own.
class EventStream {
 public:
  // `on_event` is called on that thread. It ends when the hub does, or in the destructor.
  EventStream(uint16_t port, uint64_t from, std::function<void(const Event&)> on_event);
  ~EventStream();
  bool open() const { return is_open_; }

 private:
  struct Socket;
  void Run(uint64_t from);
  void TakeLine(std::string_view line);

  const uint16_t port_;
  const std::function<void(const Event&)> on_event_;
  const std::unique_ptr<Socket> socket_;
  std::atomic<bool> is_open_ = false;
  std::thread thread_;
};

}  // namespace holdfast::hubsim
