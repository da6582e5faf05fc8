#include "services/store/store_service.h"

#include <fmt/format.h>

#include "lib/base/status.h"
#include "lib/rpc/status.h"
#include "services/store/key_uses.h"
#include "services/store/peek.h"
#include "services/store/read_streams.h"
#include "services/store/requests.h"
#include "services/store/storage_kind.h"

namespace holdfast::store {
namespace {

constexpr uint32_t kListLimitMax = 1000;
constexpr size_t kListBytesMax = 2 << 20;
constexpr size_t kQueuesPageDefault = 100;
constexpr size_t kQueuesPageMax = 1000;

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

ServerUnaryReactor* Answer(CallbackServerContext* context, const absl::Status& status) {
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(rpc::ToGrpc(status));
  return reactor;
}

// What finishes a call with a status, on whichever thread.
auto Finisher(ServerUnaryReactor* reactor) {
  return [reactor](const absl::Status& status) { reactor->Finish(rpc::ToGrpc(status)); };
}

// The same, with a value to put into the response first.
template <typename T, typename Fill>
auto Finisher(ServerUnaryReactor* reactor, Fill fill) {
  return [reactor, fill](absl::StatusOr<T> result) {
    if (result.ok()) fill(*result);
    reactor->Finish(rpc::ToGrpc(result.status()));
  };
}

}  // namespace

grpc::ServerBidiReactor<v1::AppendRequest, v1::AppendResponse>* QueuesService::Append(CallbackServerContext*) {
  const auto stream = std::make_shared<AppendStream>(engine_, &appends_);
  stream->Begin();
  return stream.get();
}

grpc::ServerWriteReactor<v1::PullResponse>* QueuesService::Pull(CallbackServerContext*,
                                                                const v1::PullRequest* request) {
  return new PullStream(engine_, loop_, *request);
}

ServerUnaryReactor* QueuesService::Peek(CallbackServerContext* context, const v1::PeekRequest* request,
                                        v1::PeekResponse* response) {
  if (const absl::Status status = CheckPeek(*request); !status.ok()) return Answer(context, status);
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  StartPeek(engine_, loop_, *request, response, Finisher(reactor));
  return reactor;
}

ServerUnaryReactor* QueuesService::Commit(CallbackServerContext* context, const v1::CommitRequest* request,
                                          v1::CommitResponse*) {
  v1::WriteRequest one;
  *one.add_commits() = *request;
  absl::StatusOr<WriteJob> write = ToWriteJob(one);
  if (!write.ok()) return Answer(context, write.status());
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  engine_->Write(*std::move(write), Finisher<WriteResult>(reactor, [](const WriteResult&) {}));
  return reactor;
}

ServerUnaryReactor* QueuesService::ConfigureQueue(CallbackServerContext* context,
                                                  const v1::ConfigureQueueRequest* request,
                                                  v1::ConfigureQueueResponse*) {
  if (const absl::Status status = CheckQueueName(request->queue()); !status.ok()) return Answer(context, status);
  const v1::QueueSettings& settings = request->settings();
  if (settings.ttl_seconds() < -1) {
    return Answer(context,
                  absl::InvalidArgumentError(fmt::format("ttl_seconds {} is not -1 or more", settings.ttl_seconds())));
  }
  std::optional<FullPolicy> policy;
  switch (settings.full_policy()) {
    case v1::FULL_POLICY_UNSPECIFIED:
      break;
    case v1::FULL_POLICY_REJECT:
      policy = FullPolicy::kReject;
      break;
    case v1::FULL_POLICY_DROP_OLDEST:
      policy = FullPolicy::kDropOldest;
      break;
    default:
      return Answer(context, absl::InvalidArgumentError(
                                 fmt::format("full_policy {} is not known", static_cast<int>(settings.full_policy()))));
  }
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  engine_->Configure(request->queue(), policy, settings.bytes_max(), settings.ttl_seconds(), Finisher(reactor));
  return reactor;
}

ServerUnaryReactor* QueuesService::ListQueues(CallbackServerContext* context, const v1::ListQueuesRequest* request,
                                              v1::ListQueuesResponse* response) {
  if (request->page_size() > kQueuesPageMax) {
    return Answer(context, absl::InvalidArgumentError(
                               fmt::format("page_size {} is more than {}", request->page_size(), kQueuesPageMax)));
  }
  if (!request->page_token().empty() && !request->page_token().starts_with(request->prefix())) {
    return Answer(context, absl::InvalidArgumentError("page_token is not one of this prefix"));
  }
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  const size_t page = request->page_size() == 0 ? kQueuesPageDefault : request->page_size();
  engine_->WalkQueues(
      request->prefix(), request->page_token(),
      [response, page, bytes = size_t{0}, engine = engine_](Queue& queue, uint32_t waiting) mutable {
        if (static_cast<size_t>(response->queues_size()) >= page || bytes >= kListBytesMax) {
          response->set_next_page_token(response->queues().rbegin()->name());
          return false;
        }
        Describe(queue, waiting, engine->clock().NowMs(), response->add_queues());
        bytes += response->queues().rbegin()->ByteSizeLong();
        return true;
      },
      Finisher(reactor));
  return reactor;
}

ServerUnaryReactor* QueuesService::Purge(CallbackServerContext* context, const v1::PurgeRequest* request,
                                         v1::PurgeResponse* response) {
  absl::Status status = CheckQueueName(request->queue());
  if (request->has_priority()) status.Update(CheckPriority(request->priority()));
  if (!status.ok()) return Answer(context, status);
  std::optional<uint32_t> priority;
  if (request->has_priority()) priority = request->priority();
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  engine_->Purge(request->queue(), priority,
                 Finisher<uint64_t>(reactor, [response](uint64_t records) { response->set_records(records); }));
  return reactor;
}

ServerUnaryReactor* QueuesService::DeleteQueue(CallbackServerContext* context, const v1::DeleteQueueRequest* request,
                                               v1::DeleteQueueResponse*) {
  if (const absl::Status status = CheckQueueName(request->queue()); !status.ok()) return Answer(context, status);
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  engine_->DeleteQueue(request->queue(), Finisher(reactor));
  return reactor;
}

ServerUnaryReactor* QueuesService::DeleteConsumer(CallbackServerContext* context,
                                                  const v1::DeleteConsumerRequest* request,
                                                  v1::DeleteConsumerResponse*) {
  absl::Status status = CheckQueueName(request->queue());
  status.Update(CheckConsumerName(request->consumer()));
  if (!status.ok()) return Answer(context, status);
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  engine_->DeleteConsumer(request->queue(), request->consumer(), Finisher(reactor));
  return reactor;
}

ServerUnaryReactor* KeyValueService::Get(CallbackServerContext* context, const v1::GetRequest* request,
                                         v1::GetResponse* response) {
  if (const absl::Status status = CheckKey(request->key()); !status.ok()) return Answer(context, status);
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  loop_->Post([this, reactor, request, response] {
    const auto read = [&]() -> absl::Status {
      const auto value = engine_->database().Get(EntryKey(request->key()));
      if (absl::IsNotFound(value.status())) {
        return absl::NotFoundError(fmt::format("there is no key {}", request->key()));
      }
      RETURN_IF_ERROR(value.status());
      const auto entry = DecodeEntry(*value);
      if (!entry) return absl::DataLossError(fmt::format("the value of key {} can't be read", request->key()));
      auto opened = engine_->encryption().OpenEntry(request->key(), *value, *entry);
      if (!opened.ok()) {
        return Annotate(opened.status(), fmt::format("the value of key {} can't be read", request->key()));
      }
      v1::Entry* const out = response->mutable_entry();
      out->set_key(request->key());
      out->set_value(*std::move(opened));
      out->set_revision(entry->revision);
      out->set_lease_id(entry->lease_id);
      return absl::OkStatus();
    };
    reactor->Finish(rpc::ToGrpc(read()));
  });
  return reactor;
}

ServerUnaryReactor* KeyValueService::Put(CallbackServerContext* context, const v1::PutRequest* request,
                                         v1::PutResponse* response) {
  absl::StatusOr<PutJob> job = ToPutJob(*request);
  if (!job.ok()) return Answer(context, job.status());
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  WriteJob write;
  write.puts.push_back(*std::move(job));
  engine_->Write(std::move(write), Finisher<WriteResult>(reactor, [response](const WriteResult& result) {
                   response->set_revision(result.revision);
                 }));
  return reactor;
}

ServerUnaryReactor* KeyValueService::Delete(CallbackServerContext* context, const v1::DeleteRequest* request,
                                            v1::DeleteResponse* response) {
  absl::StatusOr<DeleteJob> job = ToDeleteJob(*request);
  if (!job.ok()) return Answer(context, job.status());
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  WriteJob write;
  write.deletes.push_back(*std::move(job));
  engine_->Write(std::move(write), Finisher<WriteResult>(reactor, [response](const WriteResult& result) {
                   response->set_deleted(result.deleted);
                   response->set_revision(result.revision);
                 }));
  return reactor;
}

ServerUnaryReactor* KeyValueService::List(CallbackServerContext* context, const v1::ListRequest* request,
                                          v1::ListResponse* response) {
  if (request->limit() > kListLimitMax) {
    return Answer(context,
                  absl::InvalidArgumentError(fmt::format("limit {} is more than {}", request->limit(), kListLimitMax)));
  }
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  loop_->Post([this, reactor, request, response] {
    response->set_revision(engine_->watch_hub().revision());
    const uint32_t limit = request->limit() == 0 ? kListLimitMax : request->limit();
    const absl::Status status = ListEntries(
        engine_->database(), engine_->encryption(), request->prefix(), request->start_key(), limit, kListBytesMax,
        [response] { return response->add_entries(); }, response->mutable_next_key());
    reactor->Finish(rpc::ToGrpc(status));
  });
  return reactor;
}

grpc::ServerWriteReactor<v1::WatchResponse>* KeyValueService::Watch(CallbackServerContext*,
                                                                    const v1::WatchRequest* request) {
  return new WatchStream(engine_, loop_, *request);
}

ServerUnaryReactor* KeyValueService::Write(CallbackServerContext* context, const v1::WriteRequest* request,
                                           v1::WriteResponse* response) {
  absl::StatusOr<WriteJob> job = ToWriteJob(*request);
  if (!job.ok()) return Answer(context, job.status());
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  engine_->Write(*std::move(job), Finisher<WriteResult>(reactor, [response](const WriteResult& result) {
    for (const uint64_t first : result.first_sequences) response->add_first_sequences(first);
    response->set_revision(result.revision);
  }));
  return reactor;
}

ServerUnaryReactor* KeyValueService::GrantLease(CallbackServerContext* context, const v1::GrantLeaseRequest* request,
                                                v1::GrantLeaseResponse* response) {
  const absl::StatusOr<uint64_t> ttl_ms = ToLeaseMs(request->ttl());
  if (!ttl_ms.ok()) return Answer(context, ttl_ms.status());
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  engine_->GrantLease(*ttl_ms, Finisher<uint64_t>(reactor, [response](uint64_t id) { response->set_lease_id(id); }));
  return reactor;
}

ServerUnaryReactor* KeyValueService::KeepLease(CallbackServerContext* context, const v1::KeepLeaseRequest* request,
                                               v1::KeepLeaseResponse* response) {
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  engine_->KeepLease(request->lease_id(), Finisher<uint64_t>(reactor, [response](uint64_t ttl_ms) {
                       SetDuration(ttl_ms, response->mutable_ttl());
                     }));
  return reactor;
}

ServerUnaryReactor* KeyValueService::RevokeLease(CallbackServerContext* context, const v1::RevokeLeaseRequest* request,
                                                 v1::RevokeLeaseResponse*) {
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  engine_->RevokeLease(request->lease_id(), Finisher(reactor));
  return reactor;
}

ServerUnaryReactor* StoreStatusService::GetStoreStatus(CallbackServerContext* context, const v1::GetStoreStatusRequest*,
                                                       v1::GetStoreStatusResponse* response) {
  const Engine::Status status = engine_->status();
  switch (status.state) {
    case State::kServing:
      response->set_state(v1::GetStoreStatusResponse::STATE_SERVING);
      break;
    case State::kFull:
      response->set_state(v1::GetStoreStatusResponse::STATE_FULL);
      break;
    case State::kReopening:
      response->set_state(v1::GetStoreStatusResponse::STATE_REOPENING);
      break;
  }
  response->set_reason(status.reason);
  response->set_data_dir(engine_->options().data_dir);
  response->set_store_id(engine_->store_id());
  response->set_bytes(status.bytes);
  response->set_bytes_max(engine_->options().total_bytes_max);
  response->set_disk_free_bytes(engine_->options().free_bytes());
  response->set_disk_free_floor_bytes(engine_->options().free_space_floor_bytes);
  SetDuration(engine_->clock().NowMs(), response->mutable_edge_clock());
  for (std::string& path : engine_->database().damaged_files()) response->add_damaged_files(std::move(path));
  response->set_corrupt_records(status.corrupt_records);
  const StorageKind storage = StorageKindOf(engine_->options().data_dir);
  if (engine_->encryption().on()) response->set_encryption_key_id(KeyIdText(engine_->encryption().key_id()));
  for (const KeyUse& use : status.key_uses) {
    if (use.key_id == 0) {
      response->set_holds_plaintext(true);
    } else if (use.key_id != engine_->encryption().key_id()) {
      response->add_older_encryption_key_ids(KeyIdText(use.key_id));
    }
  }
  response->set_filesystem(storage.filesystem);
  response->set_storage_is_volatile(storage.is_volatile);
  return Answer(context, absl::OkStatus());
}

}  // namespace holdfast::store
