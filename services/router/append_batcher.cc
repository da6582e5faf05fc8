#include "services/router/append_batcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "lib/base/log.h"
#include "lib/record/block.h"
#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

constexpr size_t kSpareBlocksMax = 8;
constexpr absl::Duration kBackoffMin = absl::Milliseconds(20);
constexpr absl::Duration kBackoffMax = absl::Seconds(1);

int64_t NowMicroseconds() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Codes by which the store says that this block will never be stored. All others mean "send it again". No room is for
// good, too: requests say wait_for_space, so the store holds what will fit one day, and with it what comes behind it; a
// block that fits nowhere would be sent again for ever while later ones are committed.
bool IsFinal(absl::StatusCode code) {
  if (code == absl::StatusCode::kResourceExhausted) return true;
  return code == absl::StatusCode::kInvalidArgument || code == absl::StatusCode::kNotFound ||
         code == absl::StatusCode::kFailedPrecondition || code == absl::StatusCode::kOutOfRange ||
         code == absl::StatusCode::kPermissionDenied || code == absl::StatusCode::kUnimplemented;
}

}  // namespace

AppendBatcher::AppendBatcher(IoThread* thread, rpc::Channels* store, Metrics* metrics, Events events)
    : thread_(thread),
      store_(store),
      events_(std::move(events)),
      latency_(metrics->Histogram("holdfast_router_append_seconds", "Time from sending a block to its commit",
                                  {0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5})),
      batch_(metrics->Histogram("holdfast_router_append_records", "Messages in a block",
                                {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096})),
      resent_(metrics->Counter("holdfast_router_append_resent_total",
                               "Messages sent to the store again because the first try's fate was unknown")),
      backoff_(kBackoffMin, kBackoffMax) {}

AppendBatcher::~AppendBatcher() = default;

AppendBatcher::Lane* AppendBatcher::FindLane(const Endpoint& endpoint) {
  for (Lane& lane : lanes_) {
    if (lane.endpoint == endpoint) return &lane;
  }
  lanes_.push_back({.endpoint = endpoint, .block = NewBlock(endpoint)});
  return &lanes_.back();
}

AppendBatcher::BlockPtr AppendBatcher::NewBlock(const Endpoint& endpoint) {
  BlockPtr block;
  if (spare_.empty()) {
    block = std::make_unique<Block>();
  } else {
    block = std::move(spare_.back());
    spare_.pop_back();
  }
  store::v1::AppendRequest& request = *block->request;
  request.set_queue(endpoint.queue);
  request.set_priority(endpoint.priority);
  request.set_ttl_seconds(endpoint.ttl_seconds);
  request.set_wait_for_space(true);
  return block;
}

char* AppendBatcher::Add(const Endpoint& endpoint, size_t size, uint64_t session, uint64_t ticket) {
  Lane* const lane = FindLane(endpoint);
  if (!lane->block->empty() && (lane->block->bytes()->size() + size > kBlockBytesTarget ||
                                lane->block->request->record_count() >= kBlockRecordsMax)) {
    Close(lane);
  }
  Block& block = *lane->block;
  block.request->set_record_count(block.request->record_count() + 1);
  if (!block.receipts.empty() && block.receipts.back().session == session &&
      block.receipts.back().first_ticket + block.receipts.back().count == ticket) {
    ++block.receipts.back().count;
  } else {
    block.receipts.push_back({.session = session, .first_ticket = ticket, .count = 1});
  }
  const size_t before = block.bytes()->size();
  char* const space = AppendRecordSpace(size, block.bytes());
  pending_bytes_ += block.bytes()->size() - before;
  return space;
}

AppendBatcher::Block* AppendBatcher::LastClosed(const Lane& lane) const {
  const auto of_lane = [&](const BlockPtr& b) {
    return b->request->queue() == lane.endpoint.queue && b->request->priority() == lane.endpoint.priority &&
           b->request->ttl_seconds() == lane.endpoint.ttl_seconds;
  };
  for (const std::deque<BlockPtr>* blocks : {&waiting_, &unanswered_}) {
    const auto it = std::find_if(blocks->rbegin(), blocks->rend(), of_lane);
    if (it != blocks->rend()) return it->get();
  }
  return nullptr;
}

void AppendBatcher::DropIdleLanes() {
  std::erase_if(lanes_, [this](const Lane& lane) { return lane.block->empty() && LastClosed(lane) == nullptr; });
}

uint32_t AppendBatcher::AddBarrier(uint64_t session, uint64_t ticket) {
  const Receipt receipt{.session = session, .first_ticket = ticket, .count = 1};
  uint32_t count = 0;
  for (Lane& lane : lanes_) {
    Block* const last = lane.block->empty() ? LastClosed(lane) : lane.block.get();
    if (last == nullptr) continue;
    last->receipts.push_back(receipt);
    ++count;
  }
  return count;
}

void AppendBatcher::Close(Lane* lane) {
  BlockPtr next = NewBlock(lane->endpoint);
  // Numbered when closed: the order of request ids is the order of sending.
  lane->block->request->set_request_id(next_request_id_++);
  waiting_.push_back(std::exchange(lane->block, std::move(next)));
}

void AppendBatcher::Flush() {
  if (stopped_) return;
  while (unanswered_.size() < kAppendRequestsMax) {
    if (waiting_.empty()) {
      for (Lane& lane : lanes_) {
        if (!lane.block->empty()) Close(&lane);
      }
      if (waiting_.empty()) return;
    }
    if (stream_ == nullptr && !connecting_) Connect();
    unanswered_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    Send(unanswered_.back().get());
  }
}

void AppendBatcher::Send(Block* block) {
  block->sent_at_us = NowMicroseconds();
  // Not connected: OnEnd's retry sends everything that has no answer.
  if (stream_ != nullptr) stream_->Send(block->request);
}

void AppendBatcher::Connect() {
  if (stopped_) return;
  connecting_ = false;
  failed_ = false;
  const std::weak_ptr<bool> alive = alive_;
  stream_ = AppendStream::Start(
      store_->Pick(), thread_,
      [this, alive](const std::vector<store::v1::AppendResponse>& responses) {
        if (!alive.expired()) OnResponses(responses);
      },
      [this, alive](const grpc::Status& status) {
        if (!alive.expired()) OnEnd(status);
      });
  for (const BlockPtr& block : unanswered_) {
    resent_.Increment(block->request->record_count());
    Send(block.get());
  }
}

void AppendBatcher::OnResponses(const std::vector<store::v1::AppendResponse>& responses) {
  if (stopped_) return;
  for (const store::v1::AppendResponse& response : responses) OnResponse(response);
  Flush();
}

void AppendBatcher::OnResponse(const store::v1::AppendResponse& response) {
  const auto it = std::find_if(unanswered_.begin(), unanswered_.end(), [&](const BlockPtr& block) {
    return block->request->request_id() == response.request_id();
  });
  if (it == unanswered_.end()) return;
  const auto code = static_cast<absl::StatusCode>(response.code());
  if (code != absl::StatusCode::kOk && !IsFinal(code)) {
    // It stays, and goes out again with all behind it on the next stream, so that order holds.
    spdlog::warn("store can't take a block now, it will be sent again code={} reason=\"{}\"", response.code(),
                 response.message());
    failed_ = true;
    if (stream_ != nullptr) stream_->Cancel();
    return;
  }
  BlockPtr block = std::move(*it);
  unanswered_.erase(it);
  if (code == absl::StatusCode::kOk) {
    backoff_.Reset();
    known_queue_ = block->request->queue();
    known_next_sequence_ = response.first_sequence() + block->request->record_count();
    LastTold(known_queue_) = known_next_sequence_ - 1;
    return Finish(std::move(block));
  }
  pending_bytes_ -= block->bytes()->size();
  spdlog::error("store refused a block for good code={} reason=\"{}\" records={}", response.code(), response.message(),
                block->request->record_count());
  events_.on_refused(block->receipts, absl::Status(code, response.message()));
  Recycle(std::move(block));
}

uint64_t& AppendBatcher::LastTold(const std::string& queue) {
  for (auto& [name, sequence] : told_) {
    if (name == queue) return sequence;
  }
  return told_.emplace_back(queue, 0).second;
}

std::vector<std::pair<std::string, uint64_t>> AppendBatcher::Settled() const {
  std::vector<std::pair<std::string, uint64_t>> settled;
  for (const BlockPtr& block : unanswered_) {
    const std::string& queue = block->request->queue();
    const auto is_queue = [&](const auto& entry) { return entry.first == queue; };
    if (std::any_of(settled.begin(), settled.end(), is_queue)) continue;
    const auto told = std::find_if(told_.begin(), told_.end(), is_queue);
    settled.emplace_back(queue, told == told_.end() ? 0 : told->second);
  }
  return settled;
}

absl::Duration AppendBatcher::Waiting() const {
  if (unanswered_.empty()) return absl::ZeroDuration();
  return absl::Microseconds(NowMicroseconds() - unanswered_.front()->sent_at_us);
}

void AppendBatcher::Finish(BlockPtr block) {
  pending_bytes_ -= block->bytes()->size();
  committed_bytes_ += block->bytes()->size();
  batch_.Observe(block->request->record_count());
  latency_.Observe(static_cast<double>(NowMicroseconds() - block->sent_at_us) * 1e-6);
  events_.on_committed(block->receipts);
  Recycle(std::move(block));
}

void AppendBatcher::Recycle(BlockPtr block) {
  // The stream may not be done with the request's bytes; and a huge block is not worth keeping.
  constexpr size_t kKeepBytesMax = 2 * kBlockBytesTarget;
  if (spare_.size() >= kSpareBlocksMax || block->request.use_count() > 1 ||
      block->bytes()->capacity() > kKeepBytesMax) {
    return;
  }
  block->bytes()->clear();
  block->request->set_record_count(0);
  block->receipts.clear();
  spare_.push_back(std::move(block));
}

void AppendBatcher::OnEnd(const grpc::Status& status) {
  stream_ = nullptr;
  if (stopped_) {
    if (on_stopped_) on_stopped_();
    return;
  }
  spdlog::warn("stream to the store ended, connecting again reason=\"{}\" unanswered_blocks={}",
               Text(rpc::FromGrpc(status)), unanswered_.size());
  connecting_ = true;
  thread_->PostAfter(backoff_.Next(), [this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) Reconnect();
  });
}

void AppendBatcher::Reconnect() {
  if (!stopped_ && !Search()) Connect();
}

bool AppendBatcher::Search() {
  if (unanswered_.empty() || known_next_sequence_ == 0 || failed_) return false;
  FateMatcher::Requests requests;
  for (const BlockPtr& block : unanswered_) {
    // Order in the queue says something about one lane only.
    if (block->request->queue() != known_queue_ ||
        block->request->priority() != unanswered_.front()->request->priority()) {
      return false;
    }
    requests.push_back(block->request);
  }
  search_ = FateSearch::Start(store_->Pick(), thread_, known_queue_, known_next_sequence_, std::move(requests),
                              [this, alive = std::weak_ptr<bool>(alive_)](absl::StatusOr<size_t> committed) {
                                if (!alive.expired()) OnFound(std::move(committed));
                              });
  return true;
}

void AppendBatcher::OnFound(absl::StatusOr<size_t> committed) {
  search_ = nullptr;
  if (stopped_) {
    if (on_stopped_) on_stopped_();
    return;
  }
  if (!committed.ok() && rpc::IsTransient(committed.status())) {
    thread_->PostAfter(backoff_.Next(), [this, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) Reconnect();
    });
    return;
  }
  if (committed.ok()) {
    spdlog::info("unanswered blocks looked up committed={} of={}", *committed, unanswered_.size());
    for (size_t i = 0; i < *committed; ++i) {
      BlockPtr block = std::move(unanswered_.front());
      unanswered_.pop_front();
      Finish(std::move(block));
    }
  } else {
    spdlog::warn("fate of unanswered blocks can't be known, they are sent again reason=\"{}\"",
                 Text(committed.status()));
  }
  Connect();
  Flush();
}

void AppendBatcher::Stop(std::function<void()> done) {
  stopped_ = true;
  if (stream_ == nullptr && search_ == nullptr) {
    done();
    return;
  }
  on_stopped_ = std::move(done);
  if (stream_ != nullptr) stream_->Cancel();
  if (search_ != nullptr) search_->Cancel();
}

}  // namespace holdfast::router
