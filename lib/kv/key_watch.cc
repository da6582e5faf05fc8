#include "lib/kv/key_watch.h"

#include <utility>

#include "lib/base/log.h"

namespace holdfast::kv {
namespace {

constexpr absl::Duration kRetryMin = absl::Milliseconds(20);
constexpr absl::Duration kRetryMax = absl::Seconds(1);

}  // namespace

KeyWatch::KeyWatch(rpc::Channels* store, std::string prefix, OnUpdate on_update)
    : store_(store), prefix_(std::move(prefix)), on_update_(std::move(on_update)), thread_([this] { Run(); }) {}

void KeyWatch::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    if (call_ != nullptr) call_->TryCancel();
  }
  if (thread_.joinable()) thread_.join();
}

void KeyWatch::Run() {
  rpc::Backoff backoff(kRetryMin, kRetryMax);
  while (true) {
    Follow(&backoff);
    const absl::Duration wait = backoff.Next();
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopped_), wait)) return;
  }
}

void KeyWatch::Follow(rpc::Backoff* backoff) {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  {
    absl::MutexLock lock(&mutex_);
    if (stopped_) return;
    call_ = &context;
  }
  store::v1::WatchRequest request;
  request.set_prefix(prefix_);
  // From the beginning: everything that is there, as one reset.
  request.set_from_revision(revision_ == 0 ? 0 : revision_ + 1);
  const auto stub = store::v1::KeyValue::NewStub(store_->Pick());
  const auto reader = stub->Watch(&context, request);
  store::v1::WatchResponse response;
  while (reader->Read(&response)) {
    backoff->Reset();
    // A page of a list that goes on has none: if the stream breaks there, the list must come again.
    revision_ = response.revision();
    const bool whole = response.revision() != 0 || response.changes().empty();
    on_update_({.reset = response.reset(), .whole = whole, .changes = response.changes()});
  }
  const grpc::Status status = reader->Finish();
  absl::MutexLock lock(&mutex_);
  call_ = nullptr;
  if (!stopped_) spdlog::debug("watch of keys ended prefix={} reason=\"{}\"", prefix_, status.error_message());
}

}  // namespace holdfast::kv
