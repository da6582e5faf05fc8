#include "services/router/methods_service.h"

#include <utility>

#include "lib/iothub/user_name.h"
#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

}  // namespace

grpc::ServerUnaryReactor* MethodsService::InvokeMethod(grpc::CallbackServerContext* context,
                                                       const v1::InvokeMethodRequest* request,
                                                       v1::InvokeMethodResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  if (!iothub::IsId(request->device_id()) || (!request->module_id().empty() && !iothub::IsId(request->module_id()))) {
    reactor->Finish(rpc::ToGrpc(absl::InvalidArgumentError("device_id or module_id is no id")));
    return reactor;
  }
  MethodCall call{.client_id = iothub::Identity{request->device_id(), request->module_id()}.ClientId(),
                  .name = request->method_name(),
                  .payload = request->payload().empty() ? "null" : request->payload(),
                  .caller = request->caller(),
                  .local_only = request->local_only()};
  if (request->has_response_timeout()) call.response_timeout = ToDuration(request->response_timeout());
  if (request->has_connect_timeout()) call.connect_timeout = ToDuration(request->connect_timeout());
  calls_->Invoke(std::move(call), [reactor, response](absl::StatusOr<v1::InvokeMethodResponse> result) {
    if (result.ok()) *response = *std::move(result);
    reactor->Finish(rpc::ToGrpc(result.status()));
  });
  return reactor;
}

}  // namespace holdfast::router
