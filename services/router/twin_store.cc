#include "services/router/twin_store.h"

#include <fmt/format.h>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"

namespace holdfast::router {
namespace {

using KeyValueAsync = store::v1::KeyValue::StubInterface::async_interface;

constexpr absl::Duration kRetryMin = absl::Milliseconds(10);
constexpr absl::Duration kRetryMax = absl::Milliseconds(500);
constexpr absl::Duration kForgetTimeout = absl::Minutes(2);

std::string Key(std::string_view client_id) {
  return fmt::format("{}{}", twin::kTwinKeys, client_id);
}

// Later may be better: the store is away, or full.
bool IsForLater(const absl::Status& status) {
  return rpc::IsTransient(status) || absl::IsResourceExhausted(status);
}

absl::Status Unavailable(const absl::Status& status) {
  return absl::UnavailableError(fmt::format("the store did not answer in time: {}", Text(status)));
}
absl::Status Refused(const absl::Status& status) {
  return absl::InternalError(fmt::format("the store refused it: {}", Text(status)));
}

// A record that can't be read is replaced like one that is not there, but only at its revision.
TwinStore::Stored Read(const store::v1::Entry& entry) {
  TwinStore::Stored stored{.revision = entry.revision()};
  if (!stored.record.ParseFromString(entry.value())) {
    spdlog::error("the twin at key {} can't be read and counts as empty", Printable(entry.key()));
    stored.record.Clear();
  }
  return stored;
}

}  // namespace

template <typename Request, typename Response>
struct TwinStore::Call {
  grpc::ClientContext context;
  Request request;
  Response response;
  std::unique_ptr<store::v1::KeyValue::Stub> stub;
};

struct TwinStore::GetOp {
  std::string client_id;
  absl::Duration until;  // since boot
  Got got;
  rpc::Backoff backoff{kRetryMin, kRetryMax};
};

struct TwinStore::ChangeOp {
  std::string client_id;
  absl::Duration until;  // since boot
  Edit edit;
  Changed changed;
  // Of a write whose fate is not known.
  std::optional<std::string> unsure;
  rpc::Backoff backoff{kRetryMin, kRetryMax};
};

struct TwinStore::ForgetOp {
  // One key, or all with a prefix.
  std::string key;
  bool is_prefix = false;
  absl::Duration until;  // since boot
  rpc::Backoff backoff{kRetryMin, kRetryMax};
};

template <typename Request, typename Response, typename Method>
void TwinStore::Start(Method method, Request request, absl::Duration until,
                      std::function<void(absl::Status, const Response&)> done) {
  auto call = std::make_shared<Call<Request, Response>>();
  call->request = std::move(request);
  call->stub = store::v1::KeyValue::NewStub(store_.Pick());
  call->context.set_wait_for_ready(true);
  rpc::SetDeadline(&call->context, until - clock_.SinceBoot());
  {
    absl::MutexLock lock(&mutex_);
    if (stopped_) return;
    calls_.insert(&call->context);
  }
  const std::function<void(grpc::Status)> answered = [this, call, done = std::move(done)](const grpc::Status& status) {
    thread_.Post([call, done, status = rpc::FromGrpc(status)] { done(status, call->response); });
    absl::MutexLock lock(&mutex_);
    calls_.erase(&call->context);
  };
  (call->stub->async()->*method)(&call->context, &call->request, &call->response, answered);
}

void TwinStore::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
  for (grpc::ClientContext* call : calls_) call->TryCancel();
  mutex_.Await(absl::Condition(
      +[](absl::flat_hash_set<grpc::ClientContext*>* calls) { return calls->empty(); }, &calls_));
}

bool TwinStore::Retry(rpc::Backoff* backoff, absl::Duration until, std::function<void()> again) {
  const absl::Duration wait = backoff->Next();
  if (clock_.SinceBoot() + wait >= until) return false;
  thread_.PostAfter(wait, std::move(again));
  return true;
}

void TwinStore::Get(const std::string& client_id, absl::Duration timeout, Got got) {
  GetUntil(client_id, clock_.SinceBoot() + timeout, std::move(got));
}

void TwinStore::GetUntil(const std::string& client_id, absl::Duration until, Got got) {
  GetOnce(std::make_shared<GetOp>(GetOp{.client_id = client_id, .until = until, .got = std::move(got)}));
}

void TwinStore::GetOnce(std::shared_ptr<GetOp> op) {
  store::v1::GetRequest request;
  request.set_key(Key(op->client_id));
  using Method = void (KeyValueAsync::*)(grpc::ClientContext*, const store::v1::GetRequest*, store::v1::GetResponse*,
                                         std::function<void(grpc::Status)>);
  Start<store::v1::GetRequest, store::v1::GetResponse>(
      static_cast<Method>(&KeyValueAsync::Get), std::move(request), op->until,
      [this, op](const absl::Status& status, const store::v1::GetResponse& response) {
        if (status.ok()) return op->got(Read(response.entry()));
        if (absl::IsNotFound(status)) return op->got(Stored{});
        if (!IsForLater(status)) return op->got(Refused(status));
        if (!Retry(&op->backoff, op->until, [this, op] { GetOnce(op); })) op->got(Unavailable(status));
      });
}

void TwinStore::Change(const std::string& client_id, absl::Duration timeout, Edit edit, Changed changed) {
  ReadToChange(std::make_shared<ChangeOp>(ChangeOp{.client_id = client_id,
                                                   .until = clock_.SinceBoot() + timeout,
                                                   .edit = std::move(edit),
                                                   .changed = std::move(changed)}));
}

void TwinStore::ReadToChange(std::shared_ptr<ChangeOp> op) {
  GetUntil(op->client_id, op->until, [this, op](absl::StatusOr<Stored> stored) {
    if (!stored.ok()) return op->changed(stored.status());
    if (op->unsure.has_value() && stored->revision != 0 && stored->record.SerializeAsString() == *op->unsure) {
      return op->changed(std::move(stored->record));
    }
    WriteChange(op, *std::move(stored));
  });
}

void TwinStore::WriteChange(std::shared_ptr<ChangeOp> op, Stored stored) {
  const uint64_t revision = stored.revision;
  auto appends = op->edit(&stored);
  if (!appends.ok()) return op->changed(appends.status());
  store::v1::WriteRequest request;
  store::v1::PutRequest* const put = request.add_puts();
  put->set_key(Key(op->client_id));
  put->set_value(stored.record.SerializeAsString());
  put->set_expected_revision(revision);
  for (store::v1::AppendRequest& append : *appends) *request.add_appends() = std::move(append);
  using Method = void (KeyValueAsync::*)(grpc::ClientContext*, const store::v1::WriteRequest*,
                                         store::v1::WriteResponse*, std::function<void(grpc::Status)>);
  Start<store::v1::WriteRequest, store::v1::WriteResponse>(
      static_cast<Method>(&KeyValueAsync::Write), std::move(request), op->until,
      [this, op, record = std::move(stored.record)](const absl::Status& status, const store::v1::WriteResponse&) {
        if (status.ok()) return op->changed(record);
        if (absl::IsFailedPrecondition(status)) {
          op->unsure.reset();
          return ReadToChange(op);
        }
        if (!IsForLater(status)) return op->changed(Refused(status));
        if (rpc::IsTransient(status)) op->unsure = record.SerializeAsString();
        if (!Retry(&op->backoff, op->until, [this, op] { ReadToChange(op); })) op->changed(Unavailable(status));
      });
}

void TwinStore::Forget(const iothub::Identity& identity, bool with_modules) {
  const absl::Duration until = clock_.SinceBoot() + kForgetTimeout;
  const std::string key = Key(identity.ClientId());
  ForgetOnce(std::make_shared<ForgetOp>(ForgetOp{.key = key, .until = until}));
  if (with_modules)
    ForgetOnce(std::make_shared<ForgetOp>(ForgetOp{.key = key + "/", .is_prefix = true, .until = until}));
}

// A list, then the deletion of what is in it: again and again, until there is nothing.
void TwinStore::ForgetOnce(std::shared_ptr<ForgetOp> op) {
  using Listing = void (KeyValueAsync::*)(grpc::ClientContext*, const store::v1::ListRequest*, store::v1::ListResponse*,
                                          std::function<void(grpc::Status)>);
  using Writing = void (KeyValueAsync::*)(grpc::ClientContext*, const store::v1::WriteRequest*,
                                          store::v1::WriteResponse*, std::function<void(grpc::Status)>);
  const auto failed = [this, op](const absl::Status& status) {
    if (IsForLater(status) && Retry(&op->backoff, op->until, [this, op] { ForgetOnce(op); })) return;
    spdlog::warn("the twin of an identity that was removed stays key={} reason=\"{}\"", Printable(op->key),
                 Text(status));
  };
  store::v1::ListRequest request;
  request.set_prefix(op->key);
  request.set_limit(op->is_prefix ? 500 : 1);
  Start<store::v1::ListRequest, store::v1::ListResponse>(
      static_cast<Listing>(&KeyValueAsync::List), std::move(request), op->until,
      [this, op, failed](const absl::Status& status, const store::v1::ListResponse& response) {
        if (!status.ok()) return failed(status);
        store::v1::WriteRequest write;
        for (const store::v1::Entry& entry : response.entries()) {
          if (op->is_prefix || entry.key() == op->key) write.add_deletes()->set_key(entry.key());
        }
        if (write.deletes().empty()) return;
        Start<store::v1::WriteRequest, store::v1::WriteResponse>(
            static_cast<Writing>(&KeyValueAsync::Write), std::move(write), op->until,
            [this, op, failed](const absl::Status& written, const store::v1::WriteResponse&) {
              if (!written.ok()) return failed(written);
              ForgetOnce(op);
            });
      });
}

absl::StatusOr<std::vector<std::pair<std::string, twin::TwinRecord>>> TwinStore::List(const std::string& after,
                                                                                      uint32_t limit,
                                                                                      absl::Duration timeout,
                                                                                      bool* more) {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  rpc::SetDeadline(&context, timeout);
  {
    absl::MutexLock lock(&mutex_);
    if (stopped_) return absl::UnavailableError("the gateway stops");
    calls_.insert(&context);
  }
  store::v1::ListRequest request;
  request.set_prefix(std::string(twin::kTwinKeys));
  request.set_limit(limit);
  // The first key that is behind it.
  if (!after.empty()) request.set_start_key(Key(after) + std::string(1, '\0'));
  store::v1::ListResponse response;
  const absl::Status status =
      rpc::FromGrpc(store::v1::KeyValue::NewStub(store_.Pick())->List(&context, request, &response));
  {
    absl::MutexLock lock(&mutex_);
    calls_.erase(&context);
  }
  RETURN_IF_ERROR(status);
  *more = !response.next_key().empty();
  std::vector<std::pair<std::string, twin::TwinRecord>> twins;
  for (const store::v1::Entry& entry : response.entries()) {
    twins.emplace_back(entry.key().substr(twin::kTwinKeys.size()), Read(entry).record);
  }
  return twins;
}

}  // namespace holdfast::router
