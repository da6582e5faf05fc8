#pragma once

#include "holdfast/router/v1/router.grpc.pb.h"
#include "services/router/router.h"

namespace holdfast::router {

// The gRPC face of router: checks arguments and translates. Thread-safe.
class RouterService final : public v1::Sessions::Service {
 public:
  // `router` must outlive it.
  explicit RouterService(Router* router) : router_(router) {}

  grpc::Status ListSessions(grpc::ServerContext* context, const v1::ListSessionsRequest* request,
                            v1::ListSessionsResponse* response) override;
  grpc::Status CloseSession(grpc::ServerContext* context, const v1::CloseSessionRequest* request,
                            v1::CloseSessionResponse* response) override;
  grpc::Status GetRouterStatus(grpc::ServerContext* context, const v1::GetRouterStatusRequest* request,
                               v1::GetRouterStatusResponse* response) override;

 private:
  Router* const router_;
};

}  // namespace holdfast::router
