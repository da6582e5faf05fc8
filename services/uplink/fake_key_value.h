// The store's key-value space in memory, for tests: revisions, conditions, watches, leases that end when the test says
// so; and appends to queues by Write. Thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/record/block.h"

namespace holdfast::uplink {

class FakeKeyValue final : public store::v1::KeyValue::Service {
 public:
  struct Appended {
    std::string record;
    int32_t ttl_seconds = 0;
  };

  // While down every call is UNAVAILABLE, and watches end.
  void SetDown(bool down) {
    absl::MutexLock lock(&mutex_);
    down_ = down;
  }
  // Appends are RESOURCE_EXHAUSTED.
  void SetFull(bool full) {
    absl::MutexLock lock(&mutex_);
    full_ = full;
  }

  std::optional<std::string> value(const std::string& key) const {
    absl::MutexLock lock(&mutex_);
    const auto it = entries_.find(key);
    return it == entries_.end() ? std::nullopt : std::optional(it->second.value());
  }
  void Set(const std::string& key, const std::string& value) {
    absl::MutexLock lock(&mutex_);
    Change(key, value, 0);
  }
  void Remove(const std::string& key) {
    absl::MutexLock lock(&mutex_);
    Erase(key);
  }
  // True once the value fulfils `done`.
  template <typename F>
  bool WaitFor(const std::string& key, F done, absl::Duration timeout = absl::Seconds(20)) const {
    absl::MutexLock lock(&mutex_);
    const auto fulfilled = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      const auto it = entries_.find(key);
      return done(it == entries_.end() ? std::nullopt : std::optional(it->second.value()));
    };
    return mutex_.AwaitWithTimeout(absl::Condition(&fulfilled), timeout);
  }
  std::vector<Appended> appended(const std::string& queue) const {
    absl::MutexLock lock(&mutex_);
    const auto it = appended_.find(queue);
    return it == appended_.end() ? std::vector<Appended>() : it->second;
  }
  bool WaitAppended(const std::string& queue, size_t count, absl::Duration timeout = absl::Seconds(20)) const {
    absl::MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      const auto it = appended_.find(queue);
      return it != appended_.end() && it->second.size() >= count;
    };
    return mutex_.AwaitWithTimeout(absl::Condition(&there), timeout);
  }
  // As if its time were over.
  void EndLeases() {
    absl::MutexLock lock(&mutex_);
    while (!leases_.empty()) EndLease(leases_.begin()->first);
  }
  uint64_t puts() const {
    absl::MutexLock lock(&mutex_);
    return puts_;
  }

  grpc::Status Get(grpc::ServerContext*, const store::v1::GetRequest* request,
                   store::v1::GetResponse* response) override {
    absl::MutexLock lock(&mutex_);
    if (down_) return Down();
    const auto it = entries_.find(request->key());
    if (it == entries_.end()) return {grpc::StatusCode::NOT_FOUND, "no such key"};
    *response->mutable_entry() = it->second;
    return grpc::Status::OK;
  }
  grpc::Status Put(grpc::ServerContext*, const store::v1::PutRequest* request,
                   store::v1::PutResponse* response) override {
    absl::MutexLock lock(&mutex_);
    if (down_) return Down();
    const auto it = entries_.find(request->key());
    const uint64_t at = it == entries_.end() ? 0 : it->second.revision();
    if (request->has_expected_revision() && request->expected_revision() != at) {
      return {grpc::StatusCode::FAILED_PRECONDITION, "another revision"};
    }
    if (request->lease_id() != 0 && !leases_.contains(request->lease_id())) {
      return {grpc::StatusCode::NOT_FOUND, "no such lease"};
    }
    ++puts_;
    Change(request->key(), request->value(), request->lease_id());
    response->set_revision(revision_);
    return grpc::Status::OK;
  }
  grpc::Status Delete(grpc::ServerContext*, const store::v1::DeleteRequest* request,
                      store::v1::DeleteResponse* response) override {
    absl::MutexLock lock(&mutex_);
    if (down_) return Down();
    const auto it = entries_.find(request->key());
    const uint64_t at = it == entries_.end() ? 0 : it->second.revision();
    if (request->has_expected_revision() && request->expected_revision() != at) {
      return {grpc::StatusCode::FAILED_PRECONDITION, "another revision"};
    }
    Erase(request->key());
    response->set_deleted(at != 0);
    response->set_revision(at != 0 ? revision_ : 0);
    return grpc::Status::OK;
  }
  grpc::Status Write(grpc::ServerContext*, const store::v1::WriteRequest* request, store::v1::WriteResponse*) override {
    absl::MutexLock lock(&mutex_);
    if (down_) return Down();
    if (full_) return {grpc::StatusCode::RESOURCE_EXHAUSTED, "full"};
    for (const auto& append : request->appends()) {
      BlockReader reader(append.records());
      while (const auto record = reader.Next()) {
        appended_[append.queue()].push_back({std::string(*record), append.ttl_seconds()});
      }
    }
    return grpc::Status::OK;
  }
  grpc::Status Watch(grpc::ServerContext* context, const store::v1::WatchRequest* request,
                     grpc::ServerWriter<store::v1::WatchResponse>* writer) override {
    uint64_t next = request->from_revision();
    while (!context->IsCancelled()) {
      store::v1::WatchResponse response;
      {
        absl::MutexLock lock(&mutex_);
        if (down_) return Down();
        const auto news = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return down_ || next == 0 || revision_ >= next; };
        if (!mutex_.AwaitWithTimeout(absl::Condition(&news), absl::Milliseconds(20))) continue;
        if (down_) return Down();
        Fill(request->prefix(), next, &response);
        next = revision_ + 1;
      }
      if ((response.reset() || response.changes_size() > 0) && !writer->Write(response)) break;
    }
    return grpc::Status::OK;
  }
  grpc::Status GrantLease(grpc::ServerContext*, const store::v1::GrantLeaseRequest*,
                          store::v1::GrantLeaseResponse* response) override {
    absl::MutexLock lock(&mutex_);
    if (down_) return Down();
    leases_[++last_lease_];
    response->set_lease_id(last_lease_);
    return grpc::Status::OK;
  }
  grpc::Status KeepLease(grpc::ServerContext*, const store::v1::KeepLeaseRequest* request,
                         store::v1::KeepLeaseResponse*) override {
    absl::MutexLock lock(&mutex_);
    if (down_) return Down();
    if (!leases_.contains(request->lease_id())) return {grpc::StatusCode::NOT_FOUND, "no such lease"};
    return grpc::Status::OK;
  }
  grpc::Status RevokeLease(grpc::ServerContext*, const store::v1::RevokeLeaseRequest* request,
                           store::v1::RevokeLeaseResponse*) override {
    absl::MutexLock lock(&mutex_);
    if (!leases_.contains(request->lease_id())) return {grpc::StatusCode::NOT_FOUND, "no such lease"};
    EndLease(request->lease_id());
    return grpc::Status::OK;
  }

 private:
  static grpc::Status Down() { return {grpc::StatusCode::UNAVAILABLE, "down"}; }

  void Fill(const std::string& prefix, uint64_t next, store::v1::WatchResponse* response)
      ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    response->set_revision(revision_);
    if (next == 0) {
      response->set_reset(true);
      for (const auto& [key, entry] : entries_) {
        if (key.starts_with(prefix)) *response->add_changes()->mutable_entry() = entry;
      }
      return;
    }
    for (const store::v1::Change& change : history_) {
      if (change.entry().revision() < next || !change.entry().key().starts_with(prefix)) continue;
      *response->add_changes() = change;
    }
  }
  void Change(const std::string& key, const std::string& value, uint64_t lease) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    store::v1::Entry& entry = entries_[key];
    entry.set_key(key);
    entry.set_value(value);
    entry.set_revision(++revision_);
    entry.set_lease_id(lease);
    if (lease != 0) leases_[lease].push_back(key);
    *history_.emplace_back().mutable_entry() = entry;
  }
  void Erase(const std::string& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (entries_.erase(key) == 0) return;
    store::v1::Change& change = history_.emplace_back();
    change.mutable_entry()->set_key(key);
    change.mutable_entry()->set_revision(++revision_);
    change.set_deleted(true);
  }
  void EndLease(uint64_t lease) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (const std::string& key : leases_[lease]) Erase(key);
    leases_.erase(lease);
  }

  mutable absl::Mutex mutex_;
  bool down_ ABSL_GUARDED_BY(mutex_) = false;
  bool full_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t puts_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t last_lease_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, store::v1::Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::vector<store::v1::Change> history_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, std::vector<std::string>> leases_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<Appended>> appended_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace holdfast::uplink
