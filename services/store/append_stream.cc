#include "services/store/append_stream.h"

#include "lib/rpc/status.h"
#include "services/store/requests.h"

namespace holdfast::store {
namespace {

// What a stream may have sent and not got an answer for, before the store stops reading from it.
constexpr size_t kUnansweredBytesMax = 8 << 20;
// Counted for each request beside its bytes, so that a flood of tiny ones ends too.
constexpr size_t kRequestOverheadBytes = 512;
// Answers that a caller does not take: above, the store stops reading from it.
constexpr size_t kAnswersMax = 16'384;

}  // namespace

AppendStream::AppendStream(Engine* engine, AppendStreams* streams)
    : engine_(engine), streams_(streams), stream_id_(engine->NewStreamId()) {}

void AppendStream::Begin() {
  self_ = shared_from_this();
  streams_->Add(self_);
  absl::MutexLock lock(&mutex_);
  Advance();
}

void AppendStream::End(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    half_closed_ = true;
    end_ = status;
    Advance();
  }
  engine_->ForgetStream(stream_id_);
}

void AppendStream::OnReadDone(bool ok) {
  bool submit = false;
  {
    absl::MutexLock lock(&mutex_);
    if (!ok) half_closed_ = true;
    submit = ok && !half_closed_;
  }
  // reading_ stays true while request_ is in use: an answer to an earlier request must not start the next read into it.
  if (submit) Submit();
  bool gone = false;
  {
    absl::MutexLock lock(&mutex_);
    reading_ = false;
    gone = submit && half_closed_;  // Ended meanwhile, maybe forgotten before what was just submitted.
    Advance();
  }
  if (gone) engine_->ForgetStream(stream_id_);
}

void AppendStream::Submit() {
  const uint64_t request_id = request_.request_id();
  const size_t bytes = request_.records().size() + kRequestOverheadBytes;
  {
    absl::MutexLock lock(&mutex_);
    unanswered_bytes_ += bytes;
    ++unanswered_;
  }
  absl::StatusOr<AppendJob> job = ToAppendJob(request_);
  if (!job.ok()) {
    engine_->Refuse(job.status(), [self = shared_from_this(), request_id, bytes](const absl::Status& status) {
      self->Answer(request_id, bytes, status, 0);
    });
    return;
  }
  engine_->Append(stream_id_, *std::move(job), request_.wait_for_space(),
                  [self = shared_from_this(), request_id, bytes](absl::StatusOr<uint64_t> first) {
                    self->Answer(request_id, bytes, first.status(), first.value_or(0));
                  });
}

void AppendStream::Answer(uint64_t request_id, size_t bytes, const absl::Status& status, uint64_t first_sequence) {
  v1::AppendResponse response;
  response.set_request_id(request_id);
  response.set_code(static_cast<int32_t>(status.code()));
  response.set_message(std::string(status.message()));
  response.set_first_sequence(first_sequence);
  absl::MutexLock lock(&mutex_);
  unanswered_bytes_ -= bytes;
  --unanswered_;
  answers_.push_back(std::move(response));
  Advance();
}

void AppendStream::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  writing_ = false;
  answers_.pop_front();
  if (!ok) broken_ = true;
  Advance();
}

void AppendStream::OnCancel() {
  {
    absl::MutexLock lock(&mutex_);
    broken_ = true;
    half_closed_ = true;
    Advance();
  }
  engine_->ForgetStream(stream_id_);
}

void AppendStream::OnDone() {
  streams_->Remove(this);
  self_.reset();
}

void AppendStream::Advance() {
  if (finished_) return;
  if (!writing_ && (broken_ ? half_closed_ : half_closed_ && unanswered_ == 0 && answers_.empty())) {
    finished_ = true;
    Finish(rpc::ToGrpc(end_));
    return;
  }
  if (!writing_ && !answers_.empty() && !broken_) {
    writing_ = true;
    StartWrite(&answers_.front());
  }
  if (!reading_ && !half_closed_ && unanswered_bytes_ < kUnansweredBytesMax && answers_.size() < kAnswersMax) {
    reading_ = true;
    StartRead(&request_);
  }
}

void AppendStreams::Add(const std::shared_ptr<AppendStream>& stream) {
  absl::Status end;
  {
    absl::MutexLock lock(&mutex_);
    streams_.push_back(stream);
    if (!ended_) return;
    end = end_;
  }
  stream->End(end);
}

void AppendStreams::Remove(const AppendStream* stream) {
  absl::MutexLock lock(&mutex_);
  std::erase_if(streams_, [stream](const std::weak_ptr<AppendStream>& weak) {
    const auto own = weak.lock();
    return own == nullptr || own.get() == stream;
  });
}

void AppendStreams::EndAll(const absl::Status& status) {
  std::vector<std::weak_ptr<AppendStream>> streams;
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    end_ = status;
    streams = streams_;
  }
  for (const auto& weak : streams) {
    if (const auto stream = weak.lock(); stream != nullptr) stream->End(status);
  }
}

}  // namespace holdfast::store
