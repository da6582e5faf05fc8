#pragma once

#include "holdfast/router/v1/router.grpc.pb.h"
#include "services/router/router.h"

namespace holdfast::router {

// The gRPC face of the twins: checks arguments and translates. Thread-safe.
class TwinsService final : public v1::Twins::Service {
 public:
  // `router` must outlive it.
  explicit TwinsService(Router* router) : router_(router) {}

  grpc::Status GetTwin(grpc::ServerContext* context, const v1::GetTwinRequest* request, v1::Twin* response) override;
  grpc::Status ListTwins(grpc::ServerContext* context, const v1::ListTwinsRequest* request,
                         v1::ListTwinsResponse* response) override;
  grpc::Status UpdateDesiredProperties(grpc::ServerContext* context, const v1::UpdateDesiredPropertiesRequest* request,
                                       v1::Twin* response) override;

 private:
  Router* const router_;
};

}  // namespace holdfast::router
