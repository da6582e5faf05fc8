#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/rpc/server.h"

namespace holdfast::auth {

// The store's key-value space in memory, as far as auth uses it. For tests. Thread-safe.
class FakeKeyValue final : public store::v1::KeyValue::Service {
 public:
  // What a test looks at or meddles with.
  std::map<std::string, std::string> Content() {
    absl::MutexLock lock(&mutex_);
    std::map<std::string, std::string> content;
    for (const auto& [key, entry] : entries_) content[key] = entry.value();
    return content;
  }
  void Set(const std::string& key, const std::string& value) {
    absl::MutexLock lock(&mutex_);
    PutLocked(key, value);
  }
  void Erase(const std::string& key) {
    absl::MutexLock lock(&mutex_);
    entries_.erase(key);
  }
  // The writes after the next `count` fail, as if the store went away.
  void FailWritesAfter(int count) {
    absl::MutexLock lock(&mutex_);
    writes_left_ = count;
  }
  int writes() {
    absl::MutexLock lock(&mutex_);
    return writes_;
  }

  grpc::Status Get(grpc::ServerContext*, const store::v1::GetRequest* request,
                   store::v1::GetResponse* response) override {
    absl::MutexLock lock(&mutex_);
    const auto it = entries_.find(request->key());
    if (it == entries_.end()) return grpc::Status(grpc::StatusCode::NOT_FOUND, "no key " + request->key());
    *response->mutable_entry() = it->second;
    return grpc::Status::OK;
  }

  grpc::Status Put(grpc::ServerContext*, const store::v1::PutRequest* request,
                   store::v1::PutResponse* response) override {
    absl::MutexLock lock(&mutex_);
    if (!Holds(*request)) return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "revision");
    PutLocked(request->key(), request->value());
    response->set_revision(revision_);
    return grpc::Status::OK;
  }

  grpc::Status List(grpc::ServerContext*, const store::v1::ListRequest* request,
                    store::v1::ListResponse* response) override {
    absl::MutexLock lock(&mutex_);
    const std::string& start = request->start_key().empty() ? request->prefix() : request->start_key();
    for (auto it = entries_.lower_bound(start); it != entries_.end() && it->first.starts_with(request->prefix());
         ++it) {
      if (response->entries_size() == static_cast<int>(request->limit())) {
        response->set_next_key(it->first);
        break;
      }
      *response->add_entries() = it->second;
    }
    return grpc::Status::OK;
  }

  grpc::Status Write(grpc::ServerContext*, const store::v1::WriteRequest* request,
                     store::v1::WriteResponse* response) override {
    absl::MutexLock lock(&mutex_);
    if (writes_left_ == 0) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "reopening");
    if (writes_left_ > 0) --writes_left_;
    ++writes_;
    if (request->puts_size() + request->deletes_size() > 1000) {
      return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "more than 1,000 parts");
    }
    for (const auto& put : request->puts()) {
      if (!Holds(put)) return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "revision");
    }
    for (const auto& put : request->puts()) PutLocked(put.key(), put.value());
    for (const auto& del : request->deletes()) entries_.erase(del.key());
    response->set_revision(revision_);
    return grpc::Status::OK;
  }

  grpc::Status Watch(grpc::ServerContext* context, const store::v1::WatchRequest* request,
                     grpc::ServerWriter<store::v1::WatchResponse>* writer) override {
    uint64_t next = request->from_revision();
    while (!context->IsCancelled()) {
      store::v1::WatchResponse response;
      {
        absl::MutexLock lock(&mutex_);
        const auto has_more = [this, &next]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return revision_ >= next; };
        if (!mutex_.AwaitWithTimeout(absl::Condition(&has_more), absl::Milliseconds(20))) continue;
        for (const auto& [key, entry] : entries_) {
          if (key.starts_with(request->prefix()) && entry.revision() >= next)
            *response.add_changes()->mutable_entry() = entry;
        }
        response.set_revision(revision_);
        next = revision_ + 1;
      }
      if (!writer->Write(response)) break;
    }
    return grpc::Status::OK;
  }

 private:
  bool Holds(const store::v1::PutRequest& put) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!put.has_expected_revision()) return true;
    const auto it = entries_.find(put.key());
    return (it == entries_.end() ? 0 : it->second.revision()) == put.expected_revision();
  }
  void PutLocked(const std::string& key, const std::string& value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    store::v1::Entry& entry = entries_[key];
    entry.set_key(key);
    entry.set_value(value);
    entry.set_revision(++revision_);
  }

  absl::Mutex mutex_;
  std::map<std::string, store::v1::Entry> entries_ ABSL_GUARDED_BY(mutex_);
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  int writes_left_ ABSL_GUARDED_BY(mutex_) = -1;
  int writes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace holdfast::auth
