#include "services/router/pull_stream.h"

#include <utility>

#include "lib/record/queue_names.h"

namespace holdfast::router {

PullStream::PullStream(IoThread* thread, OnBlock on_block, OnEnd on_end)
    : thread_(thread), on_block_(std::move(on_block)), on_end_(std::move(on_end)) {}

std::shared_ptr<PullStream> PullStream::Start(const std::shared_ptr<grpc::Channel>& channel, IoThread* thread,
                                              const std::string& queue, OnBlock on_block, OnEnd on_end) {
  auto stream = std::shared_ptr<PullStream>(new PullStream(thread, std::move(on_block), std::move(on_end)));
  stream->self_ = stream;
  stream->request_.set_queue(queue);
  stream->request_.set_consumer(std::string(kClientConsumer));
  stream->stub_ = store::v1::Queues::NewStub(channel);
  stream->context_.set_wait_for_ready(true);
  stream->stub_->async()->Pull(&stream->context_, &stream->request_, stream.get());
  stream->AddHold();
  stream->StartCall();
  return stream;
}

void PullStream::Read() {
  if (reading_ || !held_) return;
  reading_ = true;
  StartRead(&block_);
}

void PullStream::Release() {
  if (std::exchange(held_, false)) RemoveHold();
}

void PullStream::Cancel() {
  cancelled_ = true;
  context_.TryCancel();
  // With a read pending, its end comes first.
  if (!reading_) Release();
}

void PullStream::OnReadDone(bool ok) {
  thread_->Post([self = shared_from_this(), ok] {
    self->reading_ = false;
    if (!ok || self->cancelled_) return self->Release();
    self->on_block_(self->block_);
  });
}

void PullStream::OnDone(const grpc::Status& status) {
  thread_->Post([self = std::move(self_), status] { self->on_end_(status); });
}

}  // namespace holdfast::router
