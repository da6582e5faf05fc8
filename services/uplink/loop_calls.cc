#include "services/uplink/loop_calls.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace holdfast::uplink {

void LoopCalls::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
  for (const auto& [id, context] : calls_) context->TryCancel();
  const auto none = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return calls_.empty(); };
  mutex_.Await(absl::Condition(&none));
}

LoopCalls::CallId LoopCalls::Register(grpc::ClientContext* context) {
  absl::MutexLock lock(&mutex_);
  if (stopped_) return 0;
  const CallId id = next_++;
  calls_.emplace(id, context);
  return id;
}

void LoopCalls::Unregister(CallId id) {
  absl::MutexLock lock(&mutex_);
  calls_.erase(id);
}

void LoopCalls::Cancel(CallId id) {
  absl::MutexLock lock(&mutex_);
  if (const auto it = calls_.find(id); it != calls_.end()) it->second->TryCancel();
}

void LoopCalls::Post(std::function<void()> work) {
  boost::asio::post(io_, std::move(work));
}

}  // namespace holdfast::uplink
