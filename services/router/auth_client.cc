#include "services/router/auth_client.h"

#include <memory>
#include <utility>

#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

template <typename Service, typename Request, typename Response>
struct Call {
  grpc::ClientContext context;
  Request request;
  Response response;
  std::unique_ptr<typename Service::Stub> stub;
};

}  // namespace

void AuthClient::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
  for (grpc::ClientContext* call : calls_) call->TryCancel();
  mutex_.Await(absl::Condition(
      +[](absl::flat_hash_set<grpc::ClientContext*>* calls) { return calls->empty(); }, &calls_));
}

template <typename Service, typename Method, typename Request, typename Response>
void AuthClient::Ask(Method method, Request request, std::function<void(absl::StatusOr<Response>)> answer) {
  auto call = std::make_shared<Call<Service, Request, Response>>();
  call->request = std::move(request);
  call->stub = Service::NewStub(auth_->Pick());
  rpc::SetDeadline(&call->context, timeout_);
  bool stopped = false;
  {
    absl::MutexLock lock(&mutex_);
    stopped = stopped_;
    if (!stopped) calls_.insert(&call->context);
  }
  if (stopped) return answer(absl::UnavailableError("the gateway stops"));
  method(call->stub->async(), &call->context, &call->request, &call->response,
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

void AuthClient::Authenticate(auth::v1::AuthenticateRequest request, Answer answer) {
  Ask<auth::v1::Authentication>([](auto* stub, auto... arguments) { stub->Authenticate(std::move(arguments)...); },
                                std::move(request), std::move(answer));
}

void AuthClient::GetScopePage(auth::v1::GetScopePageRequest request, ScopePage answer) {
  Ask<auth::v1::ChildScopes>([](auto* stub, auto... arguments) { stub->GetScopePage(std::move(arguments)...); },
                             std::move(request), std::move(answer));
}

}  // namespace holdfast::router
