// A running gateway as the CLI sees it: sockets under one run directory.
#pragma once

#include <grpcpp/grpcpp.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/status.h"

namespace holdfast::cli {

// The four services, in the order in which they start.
inline constexpr std::string_view kServices[] = {"store", "auth", "router", "uplink"};

inline constexpr absl::Duration kCallTimeout = absl::Seconds(5);

struct Instance {
  std::string service;
  std::string name;  // "0"
  std::string socket_path;
};

enum class Health {
  kServing,
  kNotServing,   // The process answers, but says that it can't do its work now.
  kUnreachable,  // No socket, nobody behind it, or no answer in time.
};

std::string_view HealthName(Health health);

// The gRPC service whose health tells whether `service` does its work, where the process says that it serves even when
// it does not: a store that reopens its database, an uplink that is connected and does not drain. "" = the process.
std::string_view WorkingService(std::string_view service);

struct HealthReport {
  Health health = Health::kUnreachable;
  // 0 if unknown.
  pid_t pid = 0;
  // What is wrong and what to do, in a sentence; empty when serving.
  std::string detail;
};

// Makes short-lived connections to the services of one run directory. Creates nothing there. Thread-safe.
class Gateway {
 public:
  explicit Gateway(std::string run_dir) : run_dir_(std::move(run_dir)) {}

  const std::string& run_dir() const { return run_dir_; }

  // Instances of a service by their sockets, in order of name; instance "0" if there is none.
  std::vector<Instance> Instances(std::string_view service) const;

  // grpc.health.v1 of one instance: of the process, or of one gRPC service by its full name.
  HealthReport CheckHealth(const Instance& instance, absl::Duration timeout, std::string_view grpc_service = "") const;

  // To the first instance that can be connected to, or to the one of that name; for streams. Errors as Call's.
  absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(std::string_view service, std::string_view name = "") const;

  // Calls one method of the first instance that can be connected to. UNAVAILABLE with a sentence that says which
  // service, where its socket should be and what to do; else the service's own error with its name in front.
  //   gateway.Call<store::v1::Queues, ListQueuesResponse>("store", &store::v1::Queues::Stub::ListQueues, request)
  template <typename Service, typename Response, typename Request>
  absl::StatusOr<Response> Call(std::string_view service,
                                grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request, absl::Duration timeout = kCallTimeout) const {
    auto channel = Connect(service);
    if (!channel.ok()) return channel.status();
    return Ask<Service, Response>(service, *channel, method, request, timeout);
  }

  // The same of every instance that can be connected to, in order of name; one that then fails is left out. An error,
  // the first one's, if no instance answers.
  template <typename Service, typename Response, typename Request>
  absl::StatusOr<std::vector<Response>> CallEach(std::string_view service,
                                                 grpc::Status (Service::Stub::*method)(grpc::ClientContext*,
                                                                                       const Request&, Response*),
                                                 const Request& request, absl::Duration timeout = kCallTimeout) const {
    std::vector<Response> responses;
    absl::Status error;
    for (const Instance& instance : Instances(service)) {
      auto channel = Connect(instance);
      auto response = channel.ok() ? Ask<Service, Response>(service, *channel, method, request, timeout)
                                   : absl::StatusOr<Response>(channel.status());
      if (response.ok()) responses.push_back(*std::move(response));
      if (error.ok()) error = response.status();
    }
    if (responses.empty()) return error;
    return responses;
  }

 private:
  template <typename Service, typename Response, typename Request>
  static absl::StatusOr<Response> Ask(std::string_view service, const std::shared_ptr<grpc::Channel>& channel,
                                      grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                            Response*),
                                      const Request& request, absl::Duration timeout) {
    auto stub = Service::NewStub(channel);
    grpc::ClientContext context;
    rpc::SetDeadline(&context, timeout);
    Response response;
    const absl::Status status = rpc::FromGrpc(((*stub).*method)(&context, request, &response));
    if (!status.ok()) return Explain(service, status);
    return response;
  }
  static absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const Instance& instance);
  static absl::Status Explain(std::string_view service, const absl::Status& status);

  const std::string run_dir_;
};

// Why nobody can be reached at `socket_path`, and what to do about it; ok if somebody listens there (then *pid is set).
absl::Status ProbeSocket(std::string_view service, const std::string& socket_path, pid_t* pid);

}  // namespace holdfast::cli
