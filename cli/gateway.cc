#include "cli/gateway.h"

#include <fmt/format.h>
#include <grpcpp/generic/generic_stub.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "lib/base/status.h"
#include "lib/base/unique_fd.h"

namespace holdfast::cli {
namespace {

// grpc.health.v1.HealthCheckRequest{string service = 1} and HealthCheckResponse{ServingStatus status = 1}, written out:
// Debian's gRPC has the server's side of that protocol, but no header with its messages.
constexpr char kHealthMethod[] = "/grpc.health.v1.Health/Check";
constexpr char kTagServiceName = 0x0A;
constexpr std::string_view kServingResponse("\x08\x01", 2);
constexpr size_t kHealthNameMax = 127;  // One byte of length.

std::string EncodeHealthRequest(std::string_view grpc_service) {
  std::string bytes;
  if (!grpc_service.empty()) {
    bytes.push_back(kTagServiceName);
    bytes.push_back(static_cast<char>(std::min(grpc_service.size(), kHealthNameMax)));
    bytes.append(grpc_service.substr(0, kHealthNameMax));
  }
  return bytes;
}

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& socket_path) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetMaxReceiveMessageSize(8 << 20);
  return grpc::CreateCustomChannel("unix:" + socket_path, grpc::InsecureChannelCredentials(), args);
}

// One unary call of raw bytes.
grpc::Status CallRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& request, absl::Duration timeout,
                     std::string* response) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  rpc::SetDeadline(&context, timeout);
  grpc::Slice slice(request);
  const grpc::ByteBuffer request_bytes(&slice, 1);
  grpc::ByteBuffer response_bytes;
  grpc::CompletionQueue queue;
  grpc::Status status;
  auto call = stub.PrepareUnaryCall(&context, kHealthMethod, request_bytes, &queue);
  call->StartCall();
  call->Finish(&response_bytes, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  if (!status.ok()) return status;
  std::vector<grpc::Slice> slices;
  response_bytes.Dump(&slices);
  for (const grpc::Slice& s : slices) response->append(reinterpret_cast<const char*>(s.begin()), s.size());
  return status;
}

}  // namespace

std::string_view HealthName(Health health) {
  switch (health) {
    case Health::kServing:
      return "serving";
    case Health::kNotServing:
      return "not serving";
    case Health::kUnreachable:
      return "down";
  }
  return "down";
}

std::string_view WorkingService(std::string_view service) {
  if (service == "store") return "holdfast.store.v1.Queues";
  if (service == "uplink") return "holdfast.uplink.v1.UplinkStatus";
  return "";
}

absl::Status ProbeSocket(std::string_view service, const std::string& socket_path, pid_t* pid) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(
        fmt::format("socket path {} is too long for Linux; use a shorter run directory", socket_path));
  }
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) *pid = peer.pid;
    return absl::OkStatus();
  }
  const int error = errno;
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::UnavailableError(
          fmt::format("{0} is not running here: its socket should be {1}, which does not exist. Start holdfast-{0} (or "
                      "the whole gateway), "
                      "or say where the sockets are with --run-dir or HOLDFAST_RUN_DIR",
                      service, socket_path));
    case ECONNREFUSED:
      return absl::UnavailableError(
          fmt::format("{0} is not running: nobody listens on {1}, which a process that ended left behind. Start "
                      "holdfast-{0} and look at its log",
                      service, socket_path));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(fmt::format(
          "{0}: no permission for its socket {1}. Run as the gateway's user, a member of its group, or root", service,
          socket_path));
    default:
      return absl::UnavailableError(
          fmt::format("{}: can't connect to {}: {}", service, socket_path, std::strerror(error)));
  }
}

std::vector<Instance> Gateway::Instances(std::string_view service) const {
  const std::string directory = fmt::format("{}/{}", run_dir_, service);
  std::vector<Instance> instances;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (entry.path().extension() != ".sock") continue;
    instances.push_back({std::string(service), entry.path().stem().string(), entry.path().string()});
  }
  if (instances.empty()) instances.push_back({std::string(service), "0", directory + "/0.sock"});
  std::sort(instances.begin(), instances.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return instances;
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Gateway::Connect(const Instance& instance) {
  pid_t pid = 0;
  RETURN_IF_ERROR(ProbeSocket(instance.service, instance.socket_path, &pid));
  return OpenChannel(instance.socket_path);
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Gateway::Connect(std::string_view service, std::string_view name) const {
  absl::Status first_error;
  for (const Instance& instance : Instances(service)) {
    if (!name.empty() && instance.name != name) continue;
    auto channel = Connect(instance);
    if (channel.ok()) return channel;
    if (first_error.ok()) first_error = channel.status();
  }
  if (first_error.ok()) return absl::NotFoundError(fmt::format("there is no {} {}", service, name));
  return first_error;
}

absl::Status Gateway::Explain(std::string_view service, const absl::Status& status) {
  const std::string message(status.message());
  if (status.code() == absl::StatusCode::kDeadlineExceeded) {
    return absl::DeadlineExceededError(
        fmt::format("{0} did not answer within {1}; it may be overloaded or starting. Look at holdfast-{0}'s log",
                    service, absl::FormatDuration(kCallTimeout)));
  }
  if (status.code() == absl::StatusCode::kUnimplemented) {
    return absl::UnimplementedError(
        fmt::format("{} does not know this call: it is of another version than this command", service));
  }
  return absl::Status(status.code(), fmt::format("{}: {}", service, message));
}

HealthReport Gateway::CheckHealth(const Instance& instance, absl::Duration timeout,
                                  std::string_view grpc_service) const {
  HealthReport report;
  if (const absl::Status status = ProbeSocket(instance.service, instance.socket_path, &report.pid); !status.ok()) {
    report.detail = std::string(status.message());
    return report;
  }
  std::string response;
  const grpc::Status status =
      CallRaw(OpenChannel(instance.socket_path), EncodeHealthRequest(grpc_service), timeout, &response);
  if (status.ok()) {
    report.health = response == kServingResponse ? Health::kServing : Health::kNotServing;
    if (report.health == Health::kNotServing) {
      report.detail = fmt::format("{0} runs but can't do its work now; holdfast-{0}'s log says why", instance.service);
    }
  } else if (status.error_code() == grpc::StatusCode::NOT_FOUND) {
    report.detail = fmt::format("{} has no service of the name \"{}\"", instance.service, grpc_service);
  } else {
    report.detail = fmt::format("{} accepts connections on {} but does not answer: {}", instance.service,
                                instance.socket_path, status.error_message());
  }
  return report;
}

}  // namespace holdfast::cli
