#include "services/store/read_streams.h"

#include <utility>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/rpc/status.h"
#include "services/store/requests.h"

namespace holdfast::store {
namespace {

constexpr size_t kWatchPageBytesMax = 2 << 20;
constexpr size_t kWatchPageEntriesMax = 10'000;

}  // namespace

PullStream::PullStream(Engine* engine, ReadLoop* loop, const v1::PullRequest& request)
    : engine_(engine),
      queue_(request.queue()),
      consumer_(request.consumer()),
      pump_(std::make_shared<Pump>(
          loop, [this] { return Step(); }, [this](const absl::Status& status) { Close(status); })) {
  absl::Status status = CheckQueueName(queue_);
  status.Update(CheckConsumerName(consumer_));
  if (!status.ok()) {
    pump_->End(status);
    return;
  }
  // The answer may come after the call's end: the pump holds what is needed to notice that.
  engine_->OpenPull(queue_, consumer_, [this, pump = pump_](absl::StatusOr<Engine::PullStart> start) {
    pump->IfOpen([this, start = std::move(start)]() mutable { Open(std::move(start)); });
  });
}

void PullStream::Open(absl::StatusOr<Engine::PullStart> start) {
  if (!start.ok()) {
    pump_->End(start.status());
    return;
  }
  spdlog::info("pull begins queue={} consumer={}", Printable(queue_), Printable(consumer_));
  feed_ = std::move(start->feed);
  incarnation_ = std::move(start->incarnation);
  cursor_.emplace(engine_->database(), engine_->encryption(), engine_->tail(), engine_->clock(), feed_,
                  start->checkpoints);
  feed_->Attach(consumer_, pump_);
  pump_->Start();
}

Pump::Outcome PullStream::Step() {
  std::vector<Loss> losses;
  const PullCursor::Step step = cursor_->Next(&losses);
  if (!losses.empty()) engine_->ReportLosses(feed_->queue_id(), std::move(losses));
  if (step.block == nullptr) return step.again ? Pump::Outcome::kAgain : Pump::Outcome::kIdle;
  const Block& block = *step.block;
  response_.set_priority(block.priority);
  response_.set_first_sequence(block.first_sequence);
  response_.set_record_count(block.header.record_count);
  response_.mutable_records()->assign(block.records());
  response_.set_skip(step.skip);
  SetTimestamp(block.header.wall_ms, response_.mutable_appended_at());
  response_.set_edge_milliseconds(block.header.edge_ms);
  response_.set_incarnation(std::exchange(incarnation_, std::string()));
  StartWrite(&response_);
  return Pump::Outcome::kSent;
}

void PullStream::Close(const absl::Status& status) {
  if (feed_ != nullptr) {
    feed_->Detach(consumer_, pump_.get());
    spdlog::info("pull ended queue={} consumer={} status={}", Printable(queue_), Printable(consumer_), Text(status));
  }
  Finish(rpc::ToGrpc(status));
}

void PullStream::OnWriteDone(bool ok) {
  if (!ok) pump_->End(absl::CancelledError("the caller is gone"));
  pump_->Sent();
}

void PullStream::OnCancel() {
  pump_->End(absl::CancelledError("the caller cancelled"));
}
void PullStream::OnDone() {
  delete this;
}

WatchStream::WatchStream(Engine* engine, ReadLoop* loop, const v1::WatchRequest& request)
    : engine_(engine),
      prefix_(request.prefix()),
      pump_(std::make_shared<Pump>(
          loop, [this] { return Step(); }, [this](const absl::Status& status) { Close(status); })),
      next_revision_(request.from_revision()) {
  engine_->watch_hub().Attach(pump_);
  if (engine_->streams_ended()) pump_->End(absl::UnavailableError("the store is stopping; retry"));
  pump_->Start();
}

Pump::Outcome WatchStream::Step() {
  if (next_key_) return StepThroughAll();
  WatchHub::Page page = engine_->watch_hub().Read(prefix_, next_revision_, kWatchPageBytesMax);
  if (page.behind || next_revision_ == 0) {
    next_key_ = "";
    reset_ = true;
    all_at_revision_ = engine_->watch_hub().revision();
    return StepThroughAll();
  }
  if (page.changes.empty()) {
    next_revision_ = std::max(next_revision_, page.revision + 1);
    return Pump::Outcome::kIdle;
  }
  response_.Clear();
  for (KeyChange& change : page.changes) {
    v1::Change* const out = response_.add_changes();
    out->mutable_entry()->set_key(std::move(change.key));
    out->mutable_entry()->set_value(std::move(change.value));
    out->mutable_entry()->set_revision(change.revision);
    out->mutable_entry()->set_lease_id(change.lease_id);
    out->set_deleted(change.deleted);
  }
  response_.set_revision(page.revision);
  next_revision_ = page.revision + 1;
  StartWrite(&response_);
  return Pump::Outcome::kSent;
}

// Sends what exists now, page by page. Changes meanwhile are newer than all_at_revision_, and are sent after it, so
// that the watcher ends up right whichever of the two a page showed.
Pump::Outcome WatchStream::StepThroughAll() {
  response_.Clear();
  response_.set_reset(reset_);
  std::string next_key;
  const absl::Status status = ListEntries(
      engine_->database(), engine_->encryption(), prefix_, *next_key_, kWatchPageEntriesMax, kWatchPageBytesMax,
      [this] { return response_.add_changes()->mutable_entry(); }, &next_key);
  if (!status.ok()) return Pump::Outcome::kIdle;  // Woken again after the reopening.
  reset_ = false;
  next_key_ = next_key;
  if (next_key.empty()) {
    next_key_.reset();
    response_.set_revision(all_at_revision_);
    next_revision_ = all_at_revision_ + 1;
  }
  StartWrite(&response_);
  return Pump::Outcome::kSent;
}

void WatchStream::Close(const absl::Status& status) {
  engine_->watch_hub().Detach(pump_.get());
  Finish(rpc::ToGrpc(status));
}

void WatchStream::OnWriteDone(bool ok) {
  if (!ok) pump_->End(absl::CancelledError("the caller is gone"));
  pump_->Sent();
}

void WatchStream::OnCancel() {
  pump_->End(absl::CancelledError("the caller cancelled"));
}
void WatchStream::OnDone() {
  delete this;
}

absl::Status ListEntries(const Database& database, const Encryption& encryption, const std::string& prefix,
                         const std::string& start_key, size_t limit, size_t bytes_max,
                         const std::function<v1::Entry*()>& add, std::string* next_key) {
  next_key->clear();
  Database::Scan scan(database, EntryKey(prefix), /*checked=*/true);
  RETURN_IF_ERROR(scan.status());
  size_t bytes = 0;
  size_t count = 0;
  for (scan.Seek(EntryKey(std::max(start_key, prefix))); scan.Valid(); scan.Next()) {
    const auto entry = DecodeEntry(scan.value());
    if (!entry) continue;
    const std::string_view key = scan.key().substr(kEntryPrefix.size());
    if (count >= limit || (count > 0 && bytes + key.size() + entry->value_bytes() > bytes_max)) {
      *next_key = key;
      return absl::OkStatus();
    }
    auto value = encryption.OpenEntry(key, scan.value(), *entry);
    if (!value.ok()) continue;
    v1::Entry* const out = add();
    out->mutable_key()->assign(key);
    bytes += key.size() + value->size();
    out->set_value(*std::move(value));
    out->set_revision(entry->revision);
    out->set_lease_id(entry->lease_id);
    ++count;
  }
  return absl::OkStatus();
}

}  // namespace holdfast::store
