#include "services/router/client_feed.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/time/clock.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/record/block.h"
#include "lib/record/queue_names.h"
#include "lib/rpc/status.h"
#include "services/router/deliveries.h"
#include "services/router/session.h"

namespace holdfast::router {
namespace {

constexpr absl::Duration kBackoffMin = absl::Milliseconds(50);
constexpr absl::Duration kBackoffMax = absl::Seconds(2);
// Another router reads the queue: not to be fought over in a hurry.
constexpr absl::Duration kDisplacedWait = absl::Seconds(5);
constexpr absl::Duration kCommitTimeout = absl::Seconds(10);
// Handed to the socket at a time; one packet more at most.
constexpr size_t kWriteBytes = 64 << 10;
// Sent to one client before others of the thread have their turn.
constexpr size_t kTurnBytes = 512 << 10;

}  // namespace

ClientFeed::ClientFeed(Deliveries* deliveries, const Identity& identity)
    : deliveries_(*deliveries),
      client_id_(identity.ClientId()),
      queue_(ClientQueue(identity)),
      topic_(identity),
      window_({.in_flight_max = static_cast<size_t>(deliveries->options_.delivery_window)}),
      backoff_(kBackoffMin, kBackoffMax) {}

void ClientFeed::Attach(Session* session) {
  session_ = session;
  forgotten_ = false;
  Open();
}

void ClientFeed::Detach(bool connected) {
  session_ = nullptr;
  Close();
  if (!connected) window_.OnDisconnected();
  Commit();
  deliveries_.EraseIfIdle(this);
}

void ClientFeed::Forget() {
  window_.ForgetUnacknowledged();
  forgotten_ = true;
  deliveries_.EraseIfIdle(this);
}

void ClientFeed::Stop() {
  stopped_ = true;
  session_ = nullptr;
  Close();
  Commit();
}

void ClientFeed::CancelCommit() {
  if (commit_ != nullptr) commit_->context.TryCancel();
}

void ClientFeed::Open() {
  if (session_ == nullptr || stream_ != nullptr || retrying_ || stopped_) return;
  // There was no room for it: not before some of it can be sent.
  if (shed_ && (window_.Full() || !session_->out()->empty())) return;
  shed_ = false;
  deliveries_.CallBegins();
  Deliveries* const deliveries = &deliveries_;
  const auto mine = [weak = weak_from_this(), number = ++stream_number_]() -> std::shared_ptr<ClientFeed> {
    auto feed = weak.lock();
    return feed != nullptr && feed->stream_ != nullptr && feed->stream_number_ == number ? feed : nullptr;
  };
  stream_ = PullStream::Start(
      deliveries_.store_.Pick(), &deliveries_.thread_, queue_,
      [mine](store::v1::PullResponse& block) {
        if (const auto feed = mine()) feed->OnBlock(block);
      },
      [mine, deliveries](const grpc::Status& status) {
        if (const auto feed = mine()) feed->OnEnd(status);
        deliveries->CallEnded();
      });
  stream_->Read();
}

void ClientFeed::Close() {
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->Cancel();
  DropBlocks();
}

void ClientFeed::DropBlocks() {
  const size_t before = std::exchange(held_bytes_, 0);
  blocks_.clear();
  deliveries_.Held(this, before);
}

void ClientFeed::Shed() {
  shed_ = true;
  Close();
}

void ClientFeed::OnBlock(store::v1::PullResponse& response) {
  backoff_.Reset();
  if (!response.incarnation().empty() && response.incarnation() != incarnation_) {
    if (!incarnation_.empty()) window_.Reset();
    incarnation_ = response.incarnation();
  }
  Block& block = blocks_.emplace_back();
  block.records = std::move(*response.mutable_records());
  block.rest = block.records;
  block.priority = response.priority();
  block.next_sequence = response.first_sequence();
  block.skip = response.skip();
  const size_t before = held_bytes_;
  held_bytes_ += block.records.size() + sizeof(Block);
  deliveries_.Held(this, before);
  Pump();
}

void ClientFeed::OnEnd(const grpc::Status& status) {
  stream_ = nullptr;
  DropBlocks();
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) window_.Reset();  // The queue was deleted.
  uint64_t suppressed = 0;
  if (deliveries_.log_limit_.Take(absl::Now(), &suppressed)) {
    spdlog::warn("stream from the store ended, connecting again queue={} reason=\"{}\" not_logged={}",
                 Printable(queue_), Text(rpc::FromGrpc(status)), suppressed);
  }
  RetryLater(status.error_code() == grpc::StatusCode::ABORTED ? kDisplacedWait : backoff_.Next());
}

void ClientFeed::RetryLater(absl::Duration delay) {
  if (std::exchange(retrying_, true)) return;
  deliveries_.thread_.PostAfter(delay, [weak = weak_from_this()] {
    const auto feed = weak.lock();
    if (feed == nullptr || feed->stopped_) return;
    feed->retrying_ = false;
    feed->Commit();
    feed->Open();
    feed->deliveries_.EraseIfIdle(feed.get());
  });
}

void ClientFeed::OnPuback(uint16_t packet_id) {
  if (!window_.OnPuback(packet_id)) return;
  // Those that came with it, first.
  PumpSoon();
}

void ClientFeed::OnWritten() {
  window_.OnWritten();
  Pump();
}

void ClientFeed::PumpSoon() {
  if (std::exchange(pump_posted_, true)) return;
  deliveries_.thread_.Post([weak = weak_from_this()] {
    const auto feed = weak.lock();
    if (feed == nullptr) return;
    feed->pump_posted_ = false;
    feed->Pump();
  });
}

void ClientFeed::Pump() {
  const auto self = shared_from_this();
  size_t turn = 0;
  while (session_ != nullptr) {
    // What is not taken yet is waited for: OnWritten.
    session_->Flush();
    if (session_ == nullptr || !session_->out()->empty()) break;
    window_.OnWritten();
    if (!Fill()) break;
    turn += session_->out()->size();
    session_->CountDeliveries();
    deliveries_.Progressed(this);
    if (turn < kTurnBytes) continue;
    PumpSoon();
    break;
  }
  Commit();
  Open();
  if (stream_ != nullptr && held_bytes_ < static_cast<size_t>(deliveries_.options_.delivery_prefetch_bytes)) {
    stream_->Read();
  }
}

bool ClientFeed::Fill() {
  const std::string& out = *session_->out();
  uint64_t taken = 0;
  uint64_t sent = 0;
  uint64_t again = 0;
  std::string_view record;
  uint32_t priority = 0;
  uint64_t sequence = 0;
  const size_t held = held_bytes_;
  while (out.size() < kWriteBytes && !window_.Full() && NextRecord(&record, &priority, &sequence)) {
    ++taken;
    const auto delivery = Deliver(record, priority, sequence);
    if (!delivery.has_value()) continue;
    ++sent;
    again += delivery->dup;
  }
  if (held_bytes_ != held) deliveries_.Held(this, held);
  if (sent > 0) deliveries_.metrics_.Delivered(sent, again);
  return taken > 0;
}

bool ClientFeed::NextRecord(std::string_view* record, uint32_t* priority, uint64_t* sequence) {
  while (!blocks_.empty()) {
    Block& block = blocks_.front();
    BlockReader reader(block.rest);
    const auto next = reader.Next();
    if (!next.has_value()) {
      held_bytes_ -= block.records.size() + sizeof(Block);
      blocks_.pop_front();
      continue;
    }
    block.rest.remove_prefix(static_cast<size_t>(next->data() + next->size() - block.rest.data()));
    *record = *next;
    *priority = block.priority;
    *sequence = block.next_sequence++;
    if (block.skip == 0) return true;
    --block.skip;
  }
  return false;
}

std::optional<DeliveryWindow::Delivery> ClientFeed::Deliver(std::string_view record, uint32_t priority,
                                                            uint64_t sequence) {
  EnvelopeView message;
  std::string& topic = deliveries_.topic_;
  if (!ParseEnvelope(record, &message) || !topic_.Build(message, &topic)) {
    PassOver(priority, sequence);
    return std::nullopt;
  }
  const uint8_t qos = session_->interests().messages_qos;
  const auto delivery = window_.Admit(priority, sequence, qos);
  if (!delivery.has_value()) return std::nullopt;
  const mqtt::PublishSpace space =
      mqtt::AppendPublishSpace({.packet_id = delivery->packet_id, .qos = qos, .dup = delivery->dup}, topic.size(),
                               message.body.size(), session_->out());
  std::memcpy(space.topic, topic.data(), topic.size());
  if (!message.body.empty()) std::memcpy(space.payload, message.body.data(), message.body.size());
  return delivery;
}

void ClientFeed::PassOver(uint32_t priority, uint64_t sequence) {
  window_.Settle(priority, sequence);
  deliveries_.metrics_.Undeliverable();
  uint64_t suppressed = 0;
  if (!deliveries_.log_limit_.Take(absl::Now(), &suppressed)) return;
  spdlog::error(
      "a message can't be delivered and is passed over queue={} sequence={} not_logged={} "
      "reason=\"no envelope, or no valid topic for it\"",
      Printable(queue_), sequence, suppressed);
}

void ClientFeed::Commit() {
  if (commit_ != nullptr || (retrying_ && !stopped_) || !window_.HasCheckpoint()) return;
  commit_ = std::make_shared<CommitCall>();
  commit_->request.set_queue(queue_);
  commit_->request.set_consumer(std::string(kClientConsumer));
  for (const DeliveryWindow::Position& position : window_.TakeCheckpoint()) {
    store::v1::Position* const out = commit_->request.add_positions();
    out->set_priority(position.priority);
    out->set_sequence(position.sequence);
  }
  commit_->stub = store::v1::Queues::NewStub(deliveries_.store_.Pick());
  rpc::SetDeadline(&commit_->context, kCommitTimeout);
  deliveries_.CallBegins();
  Deliveries* const deliveries = &deliveries_;
  commit_->stub->async()->Commit(&commit_->context, &commit_->request, &commit_->response,
                                 [deliveries, call = commit_, weak = weak_from_this()](grpc::Status status) {
                                   deliveries->thread_.Post([deliveries, call, weak, status = std::move(status)] {
                                     if (const auto feed = weak.lock(); feed != nullptr) feed->OnCommitDone(status);
                                     deliveries->CallEnded();
                                   });
                                 });
}

void ClientFeed::OnCommitDone(const grpc::Status& status) {
  commit_ = nullptr;
  const absl::Status result = rpc::FromGrpc(status);
  if (result.ok()) {
    window_.OnCommitted();
  } else if (rpc::IsTransient(result) || absl::IsCancelled(result)) {
    window_.OnCommitFailed();
    RetryLater(backoff_.Next());
  } else {
    // The queue or the consumer was deleted, and maybe made anew.
    spdlog::warn("the store refuses a checkpoint queue={} reason=\"{}\"", Printable(queue_), Text(result));
    window_.Reset();
    Close();
  }
  if (session_ != nullptr) {
    Pump();
  } else if (result.ok()) {
    Commit();
  }
  deliveries_.EraseIfIdle(this);
}

}  // namespace holdfast::router
