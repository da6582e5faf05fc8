#include "lib/rpc/server.h"

#include <fmt/format.h>
#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/impl/server_initializer.h>
#include <sys/stat.h>

#include <filesystem>
#include <mutex>

#include "grpc/health/v1/health.pb.h"
#include "lib/base/status.h"
#include "lib/rpc/socket_lock.h"

namespace holdfast::rpc {
namespace {

// Full names of the services of the server that this thread built last.
thread_local std::vector<std::string> built_service_names;

// gRPC tells the names of a server's services to plugins of its builder only.
class ServiceNames final : public grpc::ServerBuilderPlugin {
 public:
  std::string name() override { return "service_names"; }
  void InitServer(grpc::ServerInitializer*) override {}
  void Finish(grpc::ServerInitializer* initializer) override { built_service_names = *initializer->GetServiceList(); }
  void ChangeArguments(const std::string&, void*) override {}
};

void EnablePluginsOnce() {
  static std::once_flag once;
  std::call_once(once, [] {
    // Reflection describes what is linked in; the library's own health service brings no descriptor.
    grpc::health::v1::HealthCheckRequest::descriptor();
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::channelz::experimental::InitChannelzService();
    grpc::ServerBuilder::InternalAddPluginFactory(
        [] { return std::unique_ptr<grpc::ServerBuilderPlugin>(std::make_unique<ServiceNames>()); });
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Create(const Options& options,
                                                       const std::vector<grpc::Service*>& services) {
  const std::string directory = options.run_dir + "/" + options.service;
  const std::string socket_path = fmt::format("{}/{}.sock", directory, options.instance);
  RETURN_IF_ERROR(CheckSocketPath(socket_path));
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return ErrnoStatus(error.value(), fmt::format("can't create the socket directory {}", directory));

  auto server = std::unique_ptr<Server>(new Server());
  ASSIGN_OR_RETURN(server->lock_, LockSocket(fmt::format("{}/{}.lock", directory, options.instance), socket_path));
  server->socket_path_ = socket_path;
  // gRPC binds first and listens later, and whoever connects between the two is refused and backs off. So the socket
  // gets its name when it listens.
  const std::string bound_path = fmt::format("{}/{}.new", directory, options.instance);
  ::unlink(bound_path.c_str());

  EnablePluginsOnce();
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(options.message_bytes_max);
  builder.SetMaxSendMessageSize(options.message_bytes_max);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort("unix:" + bound_path, grpc::InsecureServerCredentials());
  for (grpc::Service* service : services) builder.RegisterService(service);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || ::chmod(bound_path.c_str(), kSocketMode) != 0 ||
      ::rename(bound_path.c_str(), socket_path.c_str()) != 0) {
    return absl::InternalError(fmt::format("can't listen on {}", socket_path));
  }
  server->names_ = built_service_names;
  auto* health = server->server_->GetHealthCheckService();
  for (const std::string& name : server->names_) health->SetServingStatus(name, false);
  health->SetServingStatus(false);
  return server;
}

Server::~Server() {
  Stop(absl::ZeroDuration());
}

void Server::SetServing(const std::string& name, bool serving) {
  server_->GetHealthCheckService()->SetServingStatus(name, serving);
}

void Server::SetServing(bool serving) {
  server_->GetHealthCheckService()->SetServingStatus(serving);
}

void Server::Stop(absl::Duration grace) {
  if (stopped_ || server_ == nullptr) return;
  stopped_ = true;
  server_->GetHealthCheckService()->SetServingStatus(false);
  server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  server_->Wait();
  ::unlink(socket_path_.c_str());
  lock_ = UniqueFd();
}

}  // namespace holdfast::rpc
