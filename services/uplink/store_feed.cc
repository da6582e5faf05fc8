#include "services/uplink/store_feed.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/time/clock.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/record/block.h"
#include "lib/record/queue_names.h"
#include "lib/rpc/status.h"

namespace holdfast::uplink {
namespace {

namespace pb = holdfast::store::v1;

constexpr absl::Duration kBackoffMin = absl::Milliseconds(50);
constexpr absl::Duration kBackoffMax = absl::Seconds(1);
// Displaced by another consumer of our name: two uplinks are configured. Not to be fought over in a hurry.
constexpr absl::Duration kDisplacedWait = absl::Seconds(5);

// Of an identity that is gone there may be many: so many are written at once.
constexpr size_t kDeadLettersAtOnce = 256;
constexpr size_t kDeadLetterBytesAtOnce = 1 << 20;  // a block may have 4 MiB

bool WorthRetry(const absl::Status& status) {
  return status.code() != absl::StatusCode::kInvalidArgument && status.code() != absl::StatusCode::kNotFound;
}

}  // namespace

StoreFeed::StoreFeed(rpc::Channels* channels, Options options, Callbacks callbacks)
    : channels_(channels), options_(options), callbacks_(std::move(callbacks)) {}

StoreFeed::~StoreFeed() {
  Stop(absl::ZeroDuration());
}

void StoreFeed::Start() {
  reader_ = std::thread([this] { ReadLoop(); });
  writer_ = std::thread([this] { WriteLoop(); });
}

void StoreFeed::Stop(absl::Duration grace) {
  {
    absl::MutexLock lock(&mutex_);
    if (!stopping_) write_until_ = absl::Now() + grace;
    stopping_ = true;
    if (stream_) stream_->TryCancel();
  }
  if (reader_.joinable()) reader_.join();
  if (writer_.joinable()) writer_.join();
}

bool StoreFeed::stopping() const {
  absl::MutexLock lock(&mutex_);
  return stopping_;
}

void StoreFeed::Sleep(absl::Duration d) {
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&stopping_), d);
}

void StoreFeed::Release(uint64_t bytes) {
  if (bytes == 0) return;
  absl::MutexLock lock(&mutex_);
  held_bytes_ -= bytes;
}

void StoreFeed::Commit(Window::Checkpoint checkpoint) {
  absl::MutexLock lock(&mutex_);
  if (checkpoint_ && checkpoint_->epoch == checkpoint.epoch) {
    // Not taken up yet: what it says of lanes that the new one does not name still holds.
    for (const Position& old : checkpoint_->positions) {
      const auto same = [&old](const Position& p) { return p.priority == old.priority; };
      if (std::ranges::none_of(checkpoint.positions, same)) checkpoint.positions.push_back(old);
    }
  }
  checkpoint_ = std::move(checkpoint);
}

void StoreFeed::KeepDeadLetter(Window::DeadLetter letter) {
  absl::MutexLock lock(&mutex_);
  dead_letters_.push_back(std::move(letter));
}

void StoreFeed::SaveAddress(std::string host_and_address) {
  absl::MutexLock lock(&mutex_);
  address_ = std::move(host_and_address);
}

void StoreFeed::ReadLoop() {
  rpc::Backoff backoff(kBackoffMin, kBackoffMax);
  absl::Status last;
  while (!stopping()) {
    const absl::Time began = absl::Now();
    const absl::Status status = Stream();
    streaming_.store(false, std::memory_order_relaxed);
    if (stopping()) break;
    if (status.code() != last.code() || status.message() != last.message()) {
      spdlog::warn("the stream from the store ended; trying again queue={} reason=\"{}\"", kQueue, Text(status));
    }
    last = status;
    if (absl::Now() - began > absl::Seconds(5)) backoff.Reset();
    Sleep(absl::IsAborted(status) ? kDisplacedWait : backoff.Next());
  }
}

absl::Status StoreFeed::FindIncarnation() {
  auto stub = pb::Queues::NewStub(channels_->Pick());
  for (int attempt = 0; attempt < 2; ++attempt) {
    grpc::ClientContext context;
    rpc::SetDeadline(&context, options_.call_timeout);
    pb::ListQueuesRequest request;
    pb::ListQueuesResponse response;
    request.set_prefix(kQueue);
    request.set_page_size(1);  // It is the first of those that begin with its name.
    RETURN_IF_ERROR(rpc::FromGrpc(stub->ListQueues(&context, request, &response)));
    for (const pb::Queue& queue : response.queues()) {
      if (queue.name() != kQueue) continue;
      if (queue.incarnation() != incarnation_) {
        incarnation_ = queue.incarnation();
        epoch_.fetch_add(1);
        spdlog::info("queue found queue={} incarnation={} records={}", kQueue, incarnation_, queue.records());
      }
      return absl::OkStatus();
    }
    grpc::ClientContext create_context;
    rpc::SetDeadline(&create_context, options_.call_timeout);
    pb::ConfigureQueueRequest create;
    pb::ConfigureQueueResponse created;
    create.set_queue(kQueue);
    RETURN_IF_ERROR(rpc::FromGrpc(stub->ConfigureQueue(&create_context, create, &created)));
  }
  return absl::UnavailableError("the queue was made and is not listed");
}

absl::Status StoreFeed::Stream() {
  RETURN_IF_ERROR(channels_->WaitUntilReady(absl::Seconds(1)));
  RETURN_IF_ERROR(FindIncarnation());
  auto stub = pb::Queues::NewStub(channels_->Pick());
  grpc::ClientContext context;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return absl::CancelledError("stopping");
    stream_ = &context;
  }
  pb::PullRequest request;
  request.set_queue(kQueue);
  request.set_consumer(std::string(kUpstreamConsumer));
  auto reader = stub->Pull(&context, request);
  pb::PullResponse response;
  while (reader->Read(&response)) {
    streaming_.store(true, std::memory_order_relaxed);
    Block block;
    block.records = std::move(*response.mutable_records());
    block.first_sequence = response.first_sequence();
    block.priority = response.priority();
    block.skip = response.skip();
    block.epoch = epoch_.load();
    block.id_prefix = incarnation_ + "-";
    const uint64_t bytes = block.records.size();
    {
      absl::MutexLock lock(&mutex_);
      held_bytes_ += bytes;
    }
    callbacks_.on_block(std::move(block));
    // Back-pressure: what is not read here fills gRPC's window, and then the store stops sending.
    absl::MutexLock lock(&mutex_);
    const auto room = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return stopping_ || held_bytes_ < options_.prefetch_bytes_max;
    };
    mutex_.Await(absl::Condition(&room));
    if (stopping_) break;
  }
  context.TryCancel();
  const absl::Status status = rpc::FromGrpc(reader->Finish());
  absl::MutexLock lock(&mutex_);
  stream_ = nullptr;
  return status.ok() ? absl::UnavailableError("the store ended the stream") : status;
}

bool StoreFeed::HasWork() const {
  return stopping_ || checkpoint_ || !dead_letters_.empty() || address_;
}

void StoreFeed::WriteLoop() {
  LoadAddress();
  for (;;) {
    std::optional<Window::Checkpoint> checkpoint;
    std::vector<Window::DeadLetter> letters;
    std::optional<std::string> address;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &StoreFeed::HasWork));
      checkpoint = std::exchange(checkpoint_, std::nullopt);
      address = std::exchange(address_, std::nullopt);
      size_t bytes = 0;
      while (!dead_letters_.empty() && letters.size() < kDeadLettersAtOnce && bytes < kDeadLetterBytesAtOnce) {
        bytes += dead_letters_.front().record.size();
        letters.push_back(std::move(dead_letters_.front()));
        dead_letters_.pop_front();
      }
      if (stopping_ && !checkpoint) return;
    }
    if (checkpoint) WriteCheckpoint(*std::move(checkpoint));
    if (!letters.empty()) WriteDeadLetters(std::move(letters));
    if (address) WriteAddress(*address);
  }
}

void StoreFeed::WriteCheckpoint(Window::Checkpoint checkpoint) {
  pb::CommitRequest request;
  request.set_queue(kQueue);
  request.set_consumer(std::string(kUpstreamConsumer));
  if (options_.fence) options_.fence(request.mutable_fence());
  for (const Position& position : checkpoint.positions) {
    pb::Position* const p = request.add_positions();
    p->set_priority(position.priority);
    p->set_sequence(position.sequence);
  }
  rpc::Backoff backoff(kBackoffMin, kBackoffMax);
  const absl::Time began = absl::Now();
  for (;;) {
    if (checkpoint.epoch != epoch_.load()) break;  // the queue that it was for is gone
    grpc::ClientContext context;
    rpc::SetDeadline(&context, options_.call_timeout);
    pb::CommitResponse response;
    const absl::Status status =
        rpc::FromGrpc(pb::Queues::NewStub(channels_->Pick())->Commit(&context, request, &response));
    if (status.ok()) break;
    if (!WorthRetry(status)) {
      spdlog::error("the store refuses a checkpoint; its messages may be delivered again queue={} reason=\"{}\"",
                    kQueue, Text(status));
      break;
    }
    if (!rpc::IsTransient(status)) spdlog::warn("checkpoint not written, trying again reason=\"{}\"", Text(status));
    Sleep(backoff.Next());
    if (!stopping()) continue;
    absl::SleepFor(kBackoffMin);
    absl::MutexLock lock(&mutex_);
    if (absl::Now() >= write_until_) return;
  }
  callbacks_.on_committed(checkpoint.number, absl::Now() - began);
}

void StoreFeed::ConfigureDeadQueue(const std::shared_ptr<grpc::Channel>& channel) {
  if (dead_queue_ready_) return;
  grpc::ClientContext context;
  rpc::SetDeadline(&context, options_.call_timeout);
  pb::ConfigureQueueRequest configure;
  pb::ConfigureQueueResponse configured;
  configure.set_queue(kDeadQueue);
  configure.mutable_settings()->set_full_policy(pb::FULL_POLICY_DROP_OLDEST);
  configure.mutable_settings()->set_ttl_seconds(-1);
  dead_queue_ready_ = pb::Queues::NewStub(channel)->ConfigureQueue(&context, configure, &configured).ok();
}

void StoreFeed::WriteDeadLetters(std::vector<Window::DeadLetter> letters) {
  rpc::Backoff backoff(kBackoffMin, kBackoffMax);
  pb::WriteRequest request;
  if (options_.fence) options_.fence(request.mutable_fence());
  for (const Window::DeadLetter& letter : letters) {
    pb::AppendRequest* append =
        request.appends().empty() ? nullptr : request.mutable_appends(request.appends_size() - 1);
    if (!append || append->priority() != letter.priority) {
      append = request.add_appends();
      append->set_queue(kDeadQueue);
      append->set_priority(letter.priority);
      append->set_ttl_seconds(-1);
    }
    append->set_record_count(append->record_count() + 1);
    AppendRecord(letter.record, append->mutable_records());
  }
  while (!stopping()) {
    const auto channel = channels_->Pick();
    ConfigureDeadQueue(channel);
    grpc::ClientContext context;
    rpc::SetDeadline(&context, options_.call_timeout);
    pb::WriteResponse response;
    const absl::Status status = rpc::FromGrpc(pb::KeyValue::NewStub(channel)->Write(&context, request, &response));
    if (status.ok()) {
      for (const Window::DeadLetter& letter : letters) {
        if (!letter.told) {
          spdlog::error("a message can't be published and was set aside queue={} id={} reason=\"{}\"", kDeadQueue,
                        letter.id, letter.reason);
        }
        callbacks_.on_dead_letter_kept(letter.number);
      }
      return;
    }
    spdlog::warn("messages that can't be published are not set aside yet messages={} first={} reason=\"{}\"",
                 letters.size(), letters.front().id, Text(status));
    Sleep(backoff.Next());
    absl::MutexLock lock(&mutex_);
    if (checkpoint_) {
      // Do not hold up the checkpoint of what was delivered.
      dead_letters_.insert(dead_letters_.begin(), std::make_move_iterator(letters.begin()),
                           std::make_move_iterator(letters.end()));
      return;
    }
  }
}

void StoreFeed::WriteAddress(const std::string& value) {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, options_.call_timeout);
  pb::PutRequest request;
  pb::PutResponse response;
  request.set_key(kAddressKey);
  request.set_value(value);
  const absl::Status status =
      rpc::FromGrpc(pb::KeyValue::NewStub(channels_->Pick())->Put(&context, request, &response));
  if (!status.ok()) spdlog::warn("the hub's address could not be saved reason=\"{}\"", Text(status));
}

void StoreFeed::LoadAddress() {
  rpc::Backoff backoff(kBackoffMin, kBackoffMax);
  while (!stopping()) {
    grpc::ClientContext context;
    rpc::SetDeadline(&context, options_.call_timeout);
    pb::GetRequest request;
    pb::GetResponse response;
    request.set_key(kAddressKey);
    const absl::Status status =
        rpc::FromGrpc(pb::KeyValue::NewStub(channels_->Pick())->Get(&context, request, &response));
    if (status.ok()) callbacks_.on_address(response.entry().value());
    if (status.ok() || absl::IsNotFound(status)) return;
    Sleep(backoff.Next());
  }
}

}  // namespace holdfast::uplink
