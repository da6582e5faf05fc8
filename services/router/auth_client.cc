#include "services/router/auth_client.h"

#include <memory>

#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

struct AuthenticateCall {
  grpc::ClientContext context;
  auth::v1::AuthenticateRequest request;
  auth::v1::AuthenticateResponse response;
  std::unique_ptr<auth::v1::Authentication::Stub> stub;
};

}  // namespace

void AuthClient::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
  for (grpc::ClientContext* call : calls_) call->TryCancel();
  mutex_.Await(absl::Condition(
      +[](absl::flat_hash_set<grpc::ClientContext*>* calls) { return calls->empty(); }, &calls_));
}

void AuthClient::Authenticate(auth::v1::AuthenticateRequest request, Answer answer) {
  auto call = std::make_shared<AuthenticateCall>();
  call->request = std::move(request);
  call->stub = auth::v1::Authentication::NewStub(auth_->Pick());
  rpc::SetDeadline(&call->context, timeout_);
  bool stopped = false;
  {
    absl::MutexLock lock(&mutex_);
    stopped = stopped_;
    if (!stopped) calls_.insert(&call->context);
  }
  if (stopped) return answer(absl::UnavailableError("the gateway stops"));
  call->stub->async()->Authenticate(&call->context, &call->request, &call->response,
                                    [this, call, answer = std::move(answer)](const grpc::Status& status) {
                                      if (status.ok()) {
                                        answer(std::move(call->response));
                                      } else {
                                        answer(rpc::FromGrpc(status));
                                      }
                                      absl::MutexLock lock(&mutex_);
                                      calls_.erase(&call->context);
                                    });
}

}  // namespace holdfast::router
