#include "services/router/append_fate.h"

#include <utility>

#include "lib/record/block.h"
#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

constexpr uint32_t kPageRecords = 1000;

}  // namespace

bool FateMatcher::Add(uint64_t sequence, std::string record) {
  bytes_ += record.size();
  records_.push_back({.sequence = sequence, .bytes = std::move(record)});
  return bytes_ < kFateBytesMax;
}

bool FateMatcher::IsAt(size_t index, const store::v1::AppendRequest& request) const {
  if (records_.size() - index < request.record_count()) return false;
  BlockReader reader(request.records());
  const uint64_t first = records_[index].sequence;
  for (size_t i = index; const auto record = reader.Next(); ++i) {
    if (records_[i].sequence != first + (i - index) || records_[i].bytes != *record) return false;
  }
  return true;
}

size_t FateMatcher::Committed() const {
  const uint64_t taken_max = records_.empty() ? 0 : records_.front().sequence - from_sequence_;
  uint64_t taken = 0;  // records of requests before the first one found
  size_t committed = 0;
  size_t from = 0;
  for (size_t r = 0; r < requests_.size(); ++r) {
    size_t at = from;
    while (at < records_.size() && !IsAt(at, *requests_[r])) ++at;
    if (at < records_.size()) {
      if (taken > taken_max) return 0;
      committed = r + 1;
      from = at + requests_[r]->record_count();
    } else if (committed > 0) {
      break;
    } else {
      taken += requests_[r]->record_count();
    }
  }
  return committed;
}

std::shared_ptr<FateSearch> FateSearch::Start(const std::shared_ptr<grpc::Channel>& channel, IoThread* thread,
                                              const std::string& queue, uint64_t from_sequence,
                                              FateMatcher::Requests requests, Done done) {
  auto search =
      std::shared_ptr<FateSearch>(new FateSearch(thread, from_sequence, std::move(requests), std::move(done)));
  search->stub_ = store::v1::Queues::NewStub(channel);
  search->request_.set_queue(queue);
  search->request_.set_from_sequence(from_sequence);
  search->request_.set_limit(kPageRecords);
  search->AskForPage();
  return search;
}

void FateSearch::Cancel() {
  cancelled_ = true;
  if (context_ != nullptr) context_->TryCancel();
}

void FateSearch::AskForPage() {
  context_ = std::make_unique<grpc::ClientContext>();
  context_->set_wait_for_ready(true);
  response_.Clear();
  stub_->async()->Peek(context_.get(), &request_, &response_, [self = shared_from_this()](const grpc::Status& status) {
    self->thread_->Post([self, status] { self->OnPage(status); });
  });
}

void FateSearch::OnPage(const grpc::Status& status) {
  // A queue that is not there holds nothing.
  const bool missing = status.error_code() == grpc::StatusCode::NOT_FOUND;
  if (cancelled_ || (!status.ok() && !missing)) {
    done_(cancelled_ ? absl::CancelledError("cancelled") : rpc::FromGrpc(status));
    return;
  }
  bool more = response_.records_size() > 0;
  for (store::v1::PeekedRecord& record : *response_.mutable_records()) {
    request_.set_from_sequence(record.sequence() + 1);
    more = matcher_.Add(record.sequence(), std::move(*record.mutable_record())) && more;
  }
  if (more) return AskForPage();
  done_(matcher_.Committed());
}

}  // namespace holdfast::router
