#pragma once

#include "holdfast/router/v1/router.grpc.pb.h"
#include "services/router/method_calls.h"

namespace holdfast::router {

// The gRPC face of direct methods: checks ids, translates. No call keeps a thread. Thread-safe.
class MethodsService final : public v1::Methods::CallbackService {
 public:
  // `calls` must outlive it, and be stopped before the server is, which waits for calls under way.
  explicit MethodsService(MethodCalls* calls) : calls_(calls) {}

  grpc::ServerUnaryReactor* InvokeMethod(grpc::CallbackServerContext* context, const v1::InvokeMethodRequest* request,
                                         v1::InvokeMethodResponse* response) override;

 private:
  MethodCalls* const calls_;
};

}  // namespace holdfast::router
