#include "services/router/router_service.h"

#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

constexpr uint32_t kPageSizeDefault = 100;
constexpr uint32_t kPageSizeMax = 1000;

}  // namespace

grpc::Status RouterService::ListSessions(grpc::ServerContext*, const v1::ListSessionsRequest* request,
                                         v1::ListSessionsResponse* response) {
  if (request->page_size() > kPageSizeMax) {
    return rpc::ToGrpc(absl::InvalidArgumentError("page_size must be 0 to 1000"));
  }
  const uint32_t limit = request->page_size() == 0 ? kPageSizeDefault : request->page_size();
  bool more = false;
  for (v1::Session& session : router_->ListSessions(request->after_client_id(), limit, &more)) {
    *response->add_sessions() = std::move(session);
  }
  response->set_more(more);
  return grpc::Status::OK;
}

grpc::Status RouterService::CloseSession(grpc::ServerContext*, const v1::CloseSessionRequest* request,
                                         v1::CloseSessionResponse*) {
  if (request->client_id().empty()) return rpc::ToGrpc(absl::InvalidArgumentError("client_id is empty"));
  return rpc::ToGrpc(router_->CloseSession(request->client_id()));
}

grpc::Status RouterService::GetRouterStatus(grpc::ServerContext*, const v1::GetRouterStatusRequest*,
                                            v1::GetRouterStatusResponse* response) {
  *response = router_->Status();
  return grpc::Status::OK;
}

}  // namespace holdfast::router
