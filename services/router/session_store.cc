#include "services/router/session_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "holdfast/message/v1/message.pb.h"
#include "holdfast/router/v1/stored.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/iothub/user_name.h"
#include "lib/record/block.h"
#include "lib/record/queue_names.h"
#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

constexpr absl::Duration kCallTimeout = absl::Seconds(10);
// For all that is to be replayed; then router starts with what has come.
constexpr absl::Duration kReplayTimeout = absl::Seconds(10);
constexpr absl::Duration kRegisterTimeout = absl::Seconds(5);
constexpr absl::Duration kRegisterPoll = absl::Milliseconds(2);

const store::v1::Consumer* FindConsumer(const store::v1::Queue& queue, std::string_view name = kSessionConsumer) {
  for (const store::v1::Consumer& consumer : queue.consumers()) {
    if (consumer.name() == name) return &consumer;
  }
  return nullptr;
}

}  // namespace

// A call in progress, so that Cancel() finds it.
class SessionStore::Call {
 public:
  Call(SessionStore* owner, absl::Duration timeout) : owner_(owner) {
    rpc::SetDeadline(&context_, timeout);
    absl::MutexLock lock(&owner_->mutex_);
    owner_->calls_.insert(&context_);
    if (owner_->cancelled_) context_.TryCancel();
  }
  ~Call() {
    absl::MutexLock lock(&owner_->mutex_);
    owner_->calls_.erase(&context_);
  }
  grpc::ClientContext* context() { return &context_; }

 private:
  SessionStore* const owner_;
  grpc::ClientContext context_;
};

void SessionStore::Cancel() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  for (grpc::ClientContext* call : calls_) call->TryCancel();
}

KeptSession* SessionStore::Find(std::string_view client_id, Sessions* sessions) const {
  auto it = sessions->find(client_id);
  if (it == sessions->end()) {
    it = sessions->emplace(std::string(client_id), KeptSession{.client_id = std::string(client_id)}).first;
    it->second.window = DedupeWindow(options_.dedupe_window);
  }
  return &it->second;
}

absl::StatusOr<uint64_t> SessionStore::EdgeMs() {
  Call call(this, kCallTimeout);
  store::v1::GetStoreStatusResponse response;
  RETURN_IF_ERROR(
      rpc::FromGrpc(store::v1::StoreStatus::NewStub(store_->Pick())->GetStoreStatus(call.context(), {}, &response)));
  return static_cast<uint64_t>(response.edge_clock().seconds()) * 1000 +
         static_cast<uint64_t>(response.edge_clock().nanos()) / 1'000'000;
}

absl::Status SessionStore::ForEachEntry(std::string_view prefix,
                                        const std::function<void(const store::v1::Entry&)>& take) {
  const auto stub = store::v1::KeyValue::NewStub(store_->Pick());
  store::v1::ListRequest request;
  request.set_prefix(std::string(prefix));
  do {
    Call call(this, kCallTimeout);
    store::v1::ListResponse response;
    RETURN_IF_ERROR(rpc::FromGrpc(stub->List(call.context(), request, &response)));
    for (const store::v1::Entry& entry : response.entries()) take(entry);
    request.set_start_key(response.next_key());
  } while (!request.start_key().empty());
  return absl::OkStatus();
}

absl::StatusOr<SessionStore::Loaded> SessionStore::Load() {
  Loaded loaded;
  ASSIGN_OR_RETURN(loaded.edge_ms, EdgeMs());
  const auto expiry_ms = static_cast<uint64_t>(absl::ToInt64Milliseconds(options_.session_expiry));
  Sessions sessions;
  RETURN_IF_ERROR(ForEachEntry(kSessionKeys, [&](const store::v1::Entry& entry) {
    v1::StoredSession stored;
    if (!stored.ParseFromString(entry.value()) || stored.seen_edge_milliseconds() + expiry_ms < loaded.edge_ms) {
      loaded.expired_keys.push_back(entry.key());
      return;
    }
    KeptSession* const session = Find(std::string_view(entry.key()).substr(kSessionKeys.size()), &sessions);
    session->known = true;
    session->seen_edge_ms = stored.seen_edge_milliseconds();
    session->router_instance = stored.router_instance();
    for (const auto& subscription : stored.subscriptions()) {
      session->subscriptions.emplace_back(subscription.filter(), static_cast<uint8_t>(subscription.qos()));
    }
  }));
  RETURN_IF_ERROR(ForEachEntry(kWindowKeys, [&](const store::v1::Entry& entry) {
    v1::StoredWindow stored;
    const auto it = sessions.find(std::string_view(entry.key()).substr(kWindowKeys.size()));
    if (it == sessions.end() || !stored.ParseFromString(entry.value())) {
      loaded.expired_keys.push_back(entry.key());
      return;
    }
    it->second.window.Load({stored.entries().begin(), stored.entries().end()});
  }));
  for (const std::string& queue : options_.queues) RETURN_IF_ERROR(Replay(queue, &sessions));
  for (auto& [client_id, session] : sessions) {
    if (!session.known) session.seen_edge_ms = loaded.edge_ms;
    loaded.sessions.push_back(std::move(session));
  }
  std::sort(loaded.sessions.begin(), loaded.sessions.end(),
            [](const KeptSession& a, const KeptSession& b) { return a.seen_edge_ms < b.seen_edge_ms; });
  return loaded;
}

absl::StatusOr<store::v1::Queue> SessionStore::Queue(const std::string& name) {
  Call call(this, kCallTimeout);
  store::v1::ListQueuesRequest request;
  request.set_prefix(name);
  store::v1::ListQueuesResponse response;
  RETURN_IF_ERROR(
      rpc::FromGrpc(store::v1::Queues::NewStub(store_->Pick())->ListQueues(call.context(), request, &response)));
  for (store::v1::Queue& queue : *response.mutable_queues()) {
    if (queue.name() == name) return std::move(queue);
  }
  return absl::NotFoundError(fmt::format("there is no queue {}", name));
}

absl::StatusOr<std::vector<SessionStore::QueueState>> SessionStore::Queues() {
  std::vector<QueueState> states;
  for (const std::string& name : options_.queues) {
    const auto queue = Queue(name);
    if (absl::IsNotFound(queue.status())) continue;
    RETURN_IF_ERROR(queue.status());
    QueueState state{.name = name, .next_sequence = queue->next_sequence()};
    for (const store::v1::Lane& lane : queue->lanes()) state.priorities.push_back(lane.priority());
    states.push_back(std::move(state));
  }
  return states;
}

absl::Status SessionStore::Write(const store::v1::WriteRequest& request) {
  Call call(this, kCallTimeout);
  store::v1::WriteResponse response;
  return rpc::FromGrpc(store::v1::KeyValue::NewStub(store_->Pick())->Write(call.context(), request, &response));
}

absl::StatusOr<store::v1::Queue> SessionStore::Introduce(const std::string& name, std::string_view consumer) {
  store::v1::PullRequest request;
  request.set_queue(name);
  request.set_consumer(std::string(consumer));
  Call call(this, kRegisterTimeout);
  const auto stub = store::v1::Queues::NewStub(store_->Pick());
  const auto stream = stub->Pull(call.context(), request);
  absl::StatusOr<store::v1::Queue> queue = absl::NotFoundError("");
  const absl::Time deadline = absl::Now() + kRegisterTimeout;
  while (true) {
    queue = Queue(name);
    if (queue.ok() && FindConsumer(*queue, consumer) != nullptr) break;
    if (!queue.ok() && !absl::IsNotFound(queue.status())) break;
    if (absl::Now() > deadline) {
      queue = absl::DeadlineExceededError(fmt::format("consumer of queue {} was not registered in time", name));
      break;
    }
    absl::SleepFor(kRegisterPoll);
  }
  call.context()->TryCancel();
  const grpc::Status ended = stream->Finish();
  if (absl::IsNotFound(queue.status())) return rpc::FromGrpc(ended);
  return queue;
}

absl::Status SessionStore::IntroduceUplink(const std::string& name) {
  const absl::StatusOr<store::v1::Queue> queue = Queue(name);
  if (!queue.ok() && !absl::IsNotFound(queue.status())) return queue.status();
  if (queue.ok() && FindConsumer(*queue, kUpstreamConsumer) != nullptr) return absl::OkStatus();
  return Introduce(name, kUpstreamConsumer).status();
}

absl::Status SessionStore::Register(const std::string& name) {
  RETURN_IF_ERROR(IntroduceUplink(name));
  ASSIGN_OR_RETURN(const store::v1::Queue queue, Introduce(name, kSessionConsumer));
  if (queue.next_sequence() <= 1) return absl::OkStatus();
  store::v1::WriteRequest write;
  store::v1::CommitRequest* const commit = write.add_commits();
  commit->set_queue(name);
  commit->set_consumer(std::string(kSessionConsumer));
  for (const store::v1::Lane& lane : queue.lanes()) {
    store::v1::Position* const position = commit->add_positions();
    position->set_priority(lane.priority());
    position->set_sequence(queue.next_sequence() - 1);
  }
  return Write(write);
}

absl::Status SessionStore::Replay(const std::string& name, Sessions* sessions) {
  const absl::StatusOr<store::v1::Queue> queue = Queue(name);
  if (!queue.ok() && !absl::IsNotFound(queue.status())) return queue.status();
  const store::v1::Consumer* const consumer = queue.ok() ? FindConsumer(*queue) : nullptr;
  // Nothing of what lies there already was written by a router that holds back what it may have to recognise.
  if (consumer == nullptr) return Register(name);
  RETURN_IF_ERROR(IntroduceUplink(name));
  const uint64_t lag = consumer->lag_records();
  if (lag == 0) return absl::OkStatus();
  store::v1::PullRequest request;
  request.set_queue(name);
  request.set_consumer(std::string(kSessionConsumer));
  Call call(this, kReplayTimeout);
  const auto stub = store::v1::Queues::NewStub(store_->Pick());
  const auto stream = stub->Pull(call.context(), request);
  store::v1::PullResponse response;
  uint64_t records = 0;
  size_t bytes = 0;
  while (records < lag && bytes < kReplayBytesMax && stream->Read(&response)) {
    records += response.record_count() - response.skip();
    bytes += response.records().size();
    Take(response, sessions);
  }
  call.context()->TryCancel();
  const absl::Status ended = rpc::FromGrpc(stream->Finish());
  if (records >= lag) return absl::OkStatus();
  // Some may have expired in the queue: they are counted, and not sent.
  if (!absl::IsCancelled(ended) && !absl::IsDeadlineExceeded(ended)) return ended;
  spdlog::warn("not all of queue {} was read: what clients send again of the rest is stored twice records={} of={}",
               name, records, lag);
  return absl::OkStatus();
}

void SessionStore::Take(const store::v1::PullResponse& response, Sessions* sessions) const {
  BlockReader reader(response.records());
  message::v1::Envelope envelope;
  for (uint32_t i = 0; const auto record = reader.Next(); ++i) {
    if (i < response.skip() || !envelope.ParseFromArray(record->data(), static_cast<int>(record->size()))) continue;
    if (envelope.packet_id() == 0) continue;
    const iothub::Identity sender{envelope.device_id(), envelope.module_id()};
    KeptSession* const session = Find(sender.ClientId(), sessions);
    session->window.Remember(static_cast<uint16_t>(envelope.packet_id()), envelope.property_bag(), envelope.body());
    session->window_changed = true;
  }
}

}  // namespace holdfast::router
