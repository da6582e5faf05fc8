#include "services/router/append_stream.h"

#include <utility>

namespace holdfast::router {

AppendStream::AppendStream(IoThread* thread, OnResponses on_responses, OnEnd on_end)
    : thread_(thread), on_responses_(std::move(on_responses)), on_end_(std::move(on_end)) {}

std::shared_ptr<AppendStream> AppendStream::Start(const std::shared_ptr<grpc::Channel>& channel, IoThread* thread,
                                                  OnResponses on_responses, OnEnd on_end) {
  auto stream = std::shared_ptr<AppendStream>(new AppendStream(thread, std::move(on_responses), std::move(on_end)));
  stream->self_ = stream;
  stream->stub_ = store::v1::Queues::NewStub(channel);
  stream->context_.set_wait_for_ready(true);
  stream->stub_->async()->Append(&stream->context_, stream.get());
  // Held until the io thread knows that the stream is broken: it may call StartWrite until then.
  stream->AddHold();
  stream->StartRead(&stream->reading_);
  stream->StartCall();
  return stream;
}

void AppendStream::Send(std::shared_ptr<const store::v1::AppendRequest> request) {
  const store::v1::AppendRequest* start = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    if (broken_) return;
    writes_.push_back(std::move(request));
    if (writes_.size() == 1) start = writes_.front().get();
  }
  if (start != nullptr) StartWrite(start);
}

void AppendStream::Cancel() {
  context_.TryCancel();
}

void AppendStream::OnWriteDone(bool ok) {
  const store::v1::AppendRequest* next = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    writes_.pop_front();
    if (!ok) broken_ = true;
    if (broken_) writes_.clear();
    if (!writes_.empty()) next = writes_.front().get();
  }
  if (next != nullptr) StartWrite(next);
}

void AppendStream::OnReadDone(bool ok) {
  bool first = false;
  {
    absl::MutexLock lock(&mutex_);
    if (ok) {
      arrived_.push_back(std::move(reading_));
      first = arrived_.size() == 1;
    } else {
      broken_ = true;
    }
  }
  if (!ok) {
    // A read that fails ends the stream in any case; the cancel makes sure that a write that hangs does too.
    context_.TryCancel();
    thread_->Post([self = shared_from_this()] { self->RemoveHold(); });
    return;
  }
  if (first) thread_->Post([self = shared_from_this()] { self->Deliver(); });
  StartRead(&reading_);
}

void AppendStream::Deliver() {
  std::vector<store::v1::AppendResponse> responses;
  {
    absl::MutexLock lock(&mutex_);
    responses.swap(arrived_);
  }
  on_responses_(responses);
}

void AppendStream::OnDone(const grpc::Status& status) {
  thread_->Post([self = std::move(self_), status] { self->on_end_(status); });
}

}  // namespace holdfast::router
