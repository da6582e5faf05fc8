#include "services/uplink/key_watch.h"

#include <utility>

#include "absl/time/clock.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"

namespace holdfast::uplink {
namespace {

namespace pb = holdfast::store::v1;

constexpr absl::Duration kBackoffMin = absl::Milliseconds(50);
constexpr absl::Duration kBackoffMax = absl::Seconds(1);

}  // namespace

KeyWatch::KeyWatch(rpc::Channels* store, std::string prefix, OnChanges on_changes)
    : store_(store), prefix_(std::move(prefix)), on_changes_(std::move(on_changes)) {}

KeyWatch::~KeyWatch() {
  Stop();
}

void KeyWatch::Start() {
  thread_ = std::thread([this] { Run(); });
}

void KeyWatch::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    if (stream_) stream_->TryCancel();
  }
  if (thread_.joinable()) thread_.join();
}

void KeyWatch::Run() {
  rpc::Backoff backoff(kBackoffMin, kBackoffMax);
  absl::Status last;
  for (;;) {
    const uint64_t before = next_revision_;
    const absl::Status status = Follow();
    if (next_revision_ != before) backoff.Reset();
    absl::MutexLock lock(&mutex_);
    if (stopping_) return;
    if (status.code() != last.code()) {
      spdlog::warn("the watch of the store's keys ended; trying again prefix={} reason=\"{}\"", prefix_, Text(status));
    }
    last = status;
    mutex_.AwaitWithTimeout(absl::Condition(&stopping_), backoff.Next());
  }
}

absl::Status KeyWatch::Follow() {
  RETURN_IF_ERROR(store_->WaitUntilReady(absl::Seconds(1)));
  grpc::ClientContext context;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return absl::CancelledError("stopping");
    stream_ = &context;
  }
  pb::WatchRequest request;
  request.set_prefix(prefix_);
  request.set_from_revision(next_revision_);
  const auto reader = pb::KeyValue::NewStub(store_->Pick())->Watch(&context, request);
  pb::WatchResponse response;
  while (reader->Read(&response)) {
    std::vector<Change> changes;
    changes.reserve(static_cast<size_t>(response.changes_size()));
    for (pb::Change& change : *response.mutable_changes()) {
      if (!change.entry().key().starts_with(prefix_)) continue;
      changes.push_back({change.entry().key().substr(prefix_.size()),
                         std::move(*change.mutable_entry()->mutable_value()), change.deleted()});
    }
    // Between the pages of a list there is no revision to go on from: a break there begins anew.
    if (response.reset()) next_revision_ = 0;
    if (response.revision() > 0) next_revision_ = response.revision() + 1;
    if (response.reset() || !changes.empty()) on_changes_(response.reset(), std::move(changes));
  }
  const absl::Status status = rpc::FromGrpc(reader->Finish());
  absl::MutexLock lock(&mutex_);
  stream_ = nullptr;
  return status.ok() ? absl::UnavailableError("the store ended the watch") : status;
}

}  // namespace holdfast::uplink
