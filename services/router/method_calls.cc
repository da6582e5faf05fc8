#include "services/router/method_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <random>
#include <utility>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/status.h"
#include "services/router/method_topics.h"
#include "services/router/session.h"

namespace holdfast::router {
namespace {

// Beyond what the other router waits, so that its answer comes first.
constexpr absl::Duration kForwardGrace = absl::Seconds(2);

std::string_view Word(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return "answered";
    case absl::StatusCode::kNotFound:
      return "not_connected";
    case absl::StatusCode::kDeadlineExceeded:
      return "timed_out";
    case absl::StatusCode::kAborted:
      return "connection_lost";
    case absl::StatusCode::kResourceExhausted:
      return "too_many";
    default:
      return "failed";
  }
}

// So that an answer to a call of this process's former life answers none of this one's.
uint64_t RandomId() {
  std::random_device random;
  return (uint64_t{random()} << 16) + 1;
}

void SetDuration(absl::Duration duration, google::protobuf::Duration* out) {
  out->set_seconds(absl::ToInt64Seconds(duration));
}

}  // namespace

// A call that another router carries out.
struct MethodCalls::Remote {
  grpc::ClientContext context;
  std::unique_ptr<v1::Methods::Stub> stub;
  v1::InvokeMethodRequest request;
  v1::InvokeMethodResponse response;
};

MethodCalls::MethodCalls(Parts parts)
    : parts_(std::move(parts)),
      late_(parts_.metrics.Counter("holdfast_router_method_responses_late_total",
                                   "Answers of clients to method calls that nobody waits for any more")),
      next_id_(RandomId()),
      thread_([this] { WatchDeadlines(); }) {}

void MethodCalls::Stop() {
  std::vector<uint64_t> ids;
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    for (auto& [id, pending] : pending_) {
      if (pending.state == State::kElsewhere) {
        if (pending.context != nullptr) pending.context->TryCancel();
      } else {
        ids.push_back(id);
      }
    }
  }
  for (const uint64_t id : ids) End(id, absl::UnavailableError("router is stopping"));
  {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](size_t* remote) { return *remote == 0; }, &remote_));
  }
  if (thread_.joinable()) thread_.join();
}

absl::Status MethodCalls::Check(const MethodCall& call) {
  if (call.name.empty() || call.name.size() > kMethodNameBytesMax) {
    return absl::InvalidArgumentError(fmt::format("a method's name has 1 to {} bytes", kMethodNameBytesMax));
  }
  if (call.payload.size() > kMethodPayloadBytesMax) {
    return absl::InvalidArgumentError(fmt::format("a method's payload has at most {} bytes", kMethodPayloadBytesMax));
  }
  if (call.response_timeout < kResponseTimeoutMin || call.response_timeout > kResponseTimeoutMax) {
    return absl::InvalidArgumentError("the response time-out must be 5 to 300 s");
  }
  if (call.connect_timeout < absl::ZeroDuration() || call.connect_timeout > kConnectTimeoutMax) {
    return absl::InvalidArgumentError("the connect time-out must be 0 to 300 s");
  }
  return absl::OkStatus();
}

void MethodCalls::Invoke(MethodCall call, Done done) {
  if (absl::Status status = Check(call); !status.ok()) return done(std::move(status));
  uint64_t id = 0;
  absl::Status refused;
  {
    absl::MutexLock lock(&mutex_);
    size_t& of_client = per_client_[call.client_id];
    if (stopped_) {
      refused = absl::UnavailableError("router is stopping");
    } else if (pending_.size() >= kMethodCallsMax) {
      refused = absl::ResourceExhaustedError(fmt::format("{} method calls are under way", kMethodCallsMax));
    } else if (of_client >= kMethodCallsPerClientMax) {
      refused = absl::ResourceExhaustedError(
          fmt::format("{} method calls to {} are under way", kMethodCallsPerClientMax, Printable(call.client_id)));
    }
    if (refused.ok()) {
      ++of_client;
      id = next_id_++;
      const absl::Duration now = parts_.clock.SinceBoot();
      pending_[id] = {
          .call = std::move(call), .done = std::move(done), .deadline = absl::InfiniteDuration(), .began = now};
    } else if (of_client == 0) {
      per_client_.erase(call.client_id);
    }
  }
  if (!refused.ok()) return done(std::move(refused));
  Try(id);
}

void MethodCalls::Try(uint64_t id) {
  std::string client_id;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = pending_.find(id);
    if (it == pending_.end() || it->second.state != State::kWaiting) return;
    client_id = it->second.call.client_id;
  }
  parts_.with_session(client_id, [this, id](Session* session) { TryOn(id, session); });
}

void MethodCalls::TryOn(uint64_t id, Session* session) {
  const bool listens = session != nullptr && !session->closed() && session->interests().methods;
  std::string topic;
  std::string payload;
  std::string client_id;
  bool local_only = false;
  absl::Duration connect_timeout;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = pending_.find(id);
    if (it == pending_.end() || it->second.state != State::kWaiting) return;
    Pending& pending = it->second;
    client_id = pending.call.client_id;
    local_only = pending.call.local_only;
    connect_timeout = pending.call.connect_timeout;
    if (listens) {
      pending.state = State::kSent;
      pending.session = session->id();
      pending.deadline = parts_.clock.SinceBoot() + pending.call.response_timeout;
      deadlines_changed_ = true;
      topic = MethodRequestTopic(pending.call.name, fmt::format("{:x}", id));
      payload = pending.call.payload;
    }
  }
  if (listens) {
    spdlog::debug("method sent client_id={} topic={}", Printable(client_id), Printable(topic));
    return session->Send(topic, payload);
  }
  const auto elsewhere = local_only ? nullptr : parts_.find_elsewhere(client_id);
  if (elsewhere != nullptr) return Forward(id, elsewhere);
  if (connect_timeout == absl::ZeroDuration()) {
    return End(id, absl::NotFoundError(fmt::format(
                       "{} is not connected to this gateway, or has not subscribed to methods", Printable(client_id))));
  }
  absl::MutexLock lock(&mutex_);
  const auto it = pending_.find(id);
  if (it == pending_.end() || it->second.deadline != absl::InfiniteDuration()) return;
  it->second.deadline = it->second.began + connect_timeout;
  deadlines_changed_ = true;
}

void MethodCalls::Forward(uint64_t id, const std::shared_ptr<grpc::Channel>& channel) {
  const auto remote = std::make_shared<Remote>();
  {
    absl::MutexLock lock(&mutex_);
    const auto it = pending_.find(id);
    if (it == pending_.end() || it->second.state != State::kWaiting || stopped_) return;
    Pending& pending = it->second;
    pending.state = State::kElsewhere;
    pending.deadline = absl::InfiniteDuration();  // the call has one
    pending.context = &remote->context;
    ++remote_;
    const MethodCall& call = pending.call;
    const size_t slash = std::min(call.client_id.find('/'), call.client_id.size());
    remote->request.set_device_id(call.client_id.substr(0, slash));
    if (slash < call.client_id.size()) remote->request.set_module_id(call.client_id.substr(slash + 1));
    remote->request.set_method_name(call.name);
    remote->request.set_payload(call.payload);
    SetDuration(call.response_timeout, remote->request.mutable_response_timeout());
    SetDuration(call.connect_timeout, remote->request.mutable_connect_timeout());
    remote->request.set_caller(call.caller);
    remote->request.set_local_only(true);
    rpc::SetDeadline(&remote->context, call.response_timeout + call.connect_timeout + kForwardGrace);
  }
  remote->stub = v1::Methods::NewStub(channel);
  remote->stub->async()->InvokeMethod(&remote->context, &remote->request, &remote->response,
                                      [this, id, remote](const grpc::Status& status) {
                                        {
                                          absl::MutexLock lock(&mutex_);
                                          const auto it = pending_.find(id);
                                          if (it != pending_.end()) it->second.context = nullptr;
                                        }
                                        if (status.ok()) {
                                          End(id, std::move(remote->response));
                                        } else {
                                          End(id, rpc::FromGrpc(status));
                                        }
                                        absl::MutexLock lock(&mutex_);
                                        --remote_;
                                      });
}

std::vector<uint64_t> MethodCalls::WaitingFor(std::string_view client_id) {
  std::vector<uint64_t> ids;
  absl::MutexLock lock(&mutex_);
  if (!per_client_.contains(client_id)) return ids;
  for (const auto& [id, pending] : pending_) {
    if (pending.state == State::kWaiting && pending.call.client_id == client_id) ids.push_back(id);
  }
  return ids;
}

void MethodCalls::OnInterests(Session& session) {
  if (!session.interests().methods) return;
  for (const uint64_t id : WaitingFor(session.client_id())) TryOn(id, &session);
}

void MethodCalls::OnElsewhere(const std::string& client_id) {
  for (const uint64_t id : WaitingFor(client_id)) Try(id);
}

void MethodCalls::OnResponse(Session& session, std::string_view topic, std::string_view payload) {
  const auto response = ParseMethodResponse(topic);
  uint64_t id = 0;
  bool awaited = false;
  if (response) {
    const auto parsed = std::from_chars(response->rid.data(), response->rid.data() + response->rid.size(), id, 16);
    absl::MutexLock lock(&mutex_);
    const auto it = pending_.find(id);
    awaited = parsed.ec == std::errc() && it != pending_.end() && it->second.state == State::kSent &&
              it->second.session == session.id() && it->second.call.client_id == session.client_id();
  }
  if (!awaited) {
    late_.Increment();
    spdlog::debug("answer to a method that nobody waits for client_id={} topic={}", Printable(session.client_id()),
                  Printable(topic));
    return;
  }
  if (payload.size() > kMethodPayloadBytesMax) {
    return End(id, absl::ResourceExhaustedError(
                       fmt::format("the client's answer has more than {} bytes", kMethodPayloadBytesMax)));
  }
  v1::InvokeMethodResponse out;
  out.set_status(response->status);
  out.set_payload(std::string(payload));
  End(id, std::move(out));
}

void MethodCalls::OnClosed(Session& session) {
  std::vector<uint64_t> ids;
  {
    absl::MutexLock lock(&mutex_);
    if (!per_client_.contains(session.client_id())) return;
    for (const auto& [id, pending] : pending_) {
      const bool sent = pending.state == State::kSent && pending.session == session.id();
      if (sent && pending.call.client_id == session.client_id()) ids.push_back(id);
    }
  }
  for (const uint64_t id : ids) {
    End(id, absl::AbortedError(fmt::format("the connection of {} ended before it answered", session.client_id())));
  }
}

void MethodCalls::End(uint64_t id, absl::StatusOr<v1::InvokeMethodResponse> result) {
  Pending pending;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = pending_.find(id);
    if (it == pending_.end()) return;
    pending = std::move(it->second);
    pending_.erase(it);
    const auto count = per_client_.find(pending.call.client_id);
    if (--count->second == 0) per_client_.erase(count);
  }
  const absl::Duration took = parts_.clock.SinceBoot() - pending.began;
  parts_.metrics
      .Counter("holdfast_router_method_calls_total", "Direct method calls by what became of them",
               {{"result", std::string(Word(result.status()))}})
      .Increment();
  parts_.metrics
      .Histogram("holdfast_router_method_call_seconds", "From a method call to its answer",
                 {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300})
      .Observe(absl::ToDoubleSeconds(took));
  spdlog::info("method called client_id={} method={} caller={} result={} took={}", Printable(pending.call.client_id),
               Printable(pending.call.name), pending.call.caller.empty() ? "-" : Printable(pending.call.caller),
               Word(result.status()), absl::FormatDuration(took));
  pending.done(std::move(result));
}

void MethodCalls::WatchDeadlines() {
  const auto changed = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopped_ || deadlines_changed_; };
  while (true) {
    std::vector<std::pair<uint64_t, absl::Status>> over;
    {
      absl::MutexLock lock(&mutex_);
      absl::Duration next = absl::InfiniteDuration();
      for (const auto& [id, pending] : pending_) next = std::min(next, pending.deadline);
      deadlines_changed_ = false;
      mutex_.AwaitWithTimeout(absl::Condition(&changed), next - parts_.clock.SinceBoot());
      if (stopped_) return;
      const absl::Duration now = parts_.clock.SinceBoot();
      for (const auto& [id, pending] : pending_) {
        if (pending.deadline > now) continue;
        const std::string client = Printable(pending.call.client_id);
        over.emplace_back(
            id, pending.state == State::kSent
                    ? absl::DeadlineExceededError(fmt::format("{} did not answer within {}", client,
                                                              absl::FormatDuration(pending.call.response_timeout)))
                    : absl::NotFoundError(fmt::format("{} did not connect and subscribe to methods within {}", client,
                                                      absl::FormatDuration(pending.call.connect_timeout))));
      }
    }
    for (auto& [id, status] : over) End(id, std::move(status));
  }
}

}  // namespace holdfast::router
