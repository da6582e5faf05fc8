// The writer's thread: groups, and what happens after a failed write.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/time/clock.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "services/store/engine.h"
#include "services/store/key_uses.h"

namespace holdfast::store {
namespace {

constexpr size_t kGroupBytesMax = 8 << 20;
constexpr size_t kGroupOperationsMax = 2048;
constexpr size_t kSweepBlocksMax = 256;
constexpr size_t kGarbageKeysMax = 512;
constexpr absl::Duration kSweepEvery = absl::Seconds(2);
constexpr absl::Duration kFullTick = absl::Seconds(1);
constexpr absl::Duration kIdleTick = absl::Seconds(60);
constexpr absl::Duration kBusyTick = absl::Milliseconds(20);  // while there is garbage to delete
constexpr absl::Duration kReopenBackoffMin = absl::Milliseconds(50);
constexpr absl::Duration kReopenBackoffMax = absl::Seconds(5);

}  // namespace

void Engine::Loop() {
  while (true) {
    Group group = TakeGroup(NextWake());
    if (failed_) {
      AnswerWhileReopening(std::move(group));
      if (absl::Now() >= failed_->retry_at) TryReopen();
    } else if (!group.empty()) {
      RunGroup(std::move(group));
    }
    bool poked = false;
    bool stop = false;
    {
      absl::MutexLock lock(&mutex_);
      poked = std::exchange(poked_, false);
      stop = stopping_ && inbox_.empty();
    }
    if (!failed_ && (poked || absl::Now() >= next_tick_)) {
      if (poked) free_bytes_checked_ = absl::InfinitePast();
      Tick();
    }
    if (!stop) continue;
    const absl::Status stopping = absl::UnavailableError("the store is stopping; retry");
    if (failed_) {
      for (Operation& operation : failed_->group) operation.done(stopping);
    }
    for (Operation& operation : held_) operation.done(stopping);
    held_.clear();
    return;
  }
}

absl::Time Engine::NextWake() {
  if (failed_) return failed_->retry_at;
  absl::Time wake = next_tick_;
  if (const auto end_ms = leases_.NextEndEdgeMs(); end_ms) {
    const uint64_t now_ms = clock_->NowMs();
    const absl::Time end = absl::Now() + absl::Milliseconds(*end_ms > now_ms ? *end_ms - now_ms : 0);
    if (end < wake) next_tick_ = wake = end;
  }
  return wake;
}

Engine::Group Engine::TakeGroup(absl::Time wake_at) {
  const auto something = [this]()
                             ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || poked_ || !inbox_.empty(); };
  Group group;
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithDeadline(absl::Condition(&something), wake_at);
  size_t bytes = 0;
  while (!inbox_.empty() && group.size() < kGroupOperationsMax && (group.empty() || bytes < kGroupBytesMax)) {
    bytes += inbox_.front().bytes;
    group.push_back(std::move(inbox_.front()));
    inbox_.pop_front();
  }
  return group;
}

Transaction Engine::Begin() {
  Transaction tx;
  tx.now_edge_ms = clock_->NowMs();
  tx.now_wall_ms = clock_->WallMs();
  key_value_->Begin();
  return tx;
}

void Engine::PlanAll(Group& group, Transaction& tx) {
  Group planned;
  planned.reserve(group.size());
  for (Operation& operation : group) {
    planning_ = &operation;
    hold_ = false;
    operation.planned = operation.plan(tx);
    if (hold_) {
      held_.push_back(std::move(operation));
    } else {
      planned.push_back(std::move(operation));
    }
  }
  planning_ = nullptr;
  group = std::move(planned);
}

void Engine::RunGroup(Group group) {
  const absl::Time first_submitted = group.empty() ? absl::Now() : group.front().submitted;
  Transaction tx = Begin();
  PlanAll(group, tx);
  const bool writes = !tx.batch.empty() || !tx.touched_queues.empty() || tx.state_changed;
  if (writes) {
    if (const absl::Status written = WriteOut(tx); !written.ok()) {
      StartReopening(std::move(group), std::move(tx), written);
      return;
    }
    reopen_backoff_ = kReopenBackoffMin;
    metrics_.commit_seconds.Observe(absl::ToDoubleSeconds(absl::Now() - first_submitted));
    if (tx.appended_records > 0) {
      metrics_.group_records.Observe(static_cast<double>(tx.appended_records));
      metrics_.group_bytes.Observe(static_cast<double>(tx.batch.bytes()));
    }
    Publish(tx);
  }
  Complete(group);
  if (tx.freed) RetryHeld();
  RefreshState();
}

absl::Status Engine::WriteOut(Transaction& tx) {
  StoreState& state = catalog_->state();
  ++state.group;
  state.clock = clock_->Save();
  catalog_->Seal(tx);
  tx.batch.Put(StateKey(), Encode(state));
  return database_->Write(&tx.batch);
}

void Engine::Publish(Transaction& tx) {
  for (auto& [queue_id, block] : tx.blocks) tail_.Insert(queue_id, std::move(block));
  for (const uint64_t id : tx.touched_queues) {
    Queue* const queue = catalog_->FindById(id);
    if (queue == nullptr) continue;
    for (const LaneCounters& lane : queue->counters().lanes) tail_.Trim(id, lane.priority, lane.head_sequence);
    queue->Publish(options_.ttl_seconds);
  }
  if (!tx.changes.empty()) watch_hub_.Publish(std::move(tx.changes));
  metrics_.groups.Increment();
  metrics_.appended_records.Increment(static_cast<double>(tx.appended_records));
  metrics_.passed_records.Increment(static_cast<double>(tx.passed_records));
  if (catalog_->has_garbage()) next_tick_ = std::min(next_tick_, absl::Now() + kBusyTick);
  next_tick_ = std::min(next_tick_, absl::Now() + kSweepEvery);
}

void Engine::Complete(Group& group) {
  for (Operation& operation : group) operation.done(std::move(operation.planned));
}

void Engine::RetryHeld() {
  if (held_.empty()) return;
  absl::MutexLock lock(&mutex_);
  while (!held_.empty()) {
    inbox_.push_front(std::move(held_.back()));
    held_.pop_back();
  }
}

// Sweeps, ends leases, collects garbage, saves the clock, and looks for free space: what comes with time and not with a
// request.
void Engine::Tick() {
  Transaction tx = Begin();
  bool anything = false;
  bool more = resealing_->Step(tx, *catalog_);
  catalog_->ForEach("", [&](Queue& queue) {
    if (queue.bytes() == 0) return;
    anything = true;
    if (queue.Sweep(tx, options_.ttl_seconds, kSweepBlocksMax) >= kSweepBlocksMax) more = true;
  });
  for (const uint64_t id : leases_.Ended(tx.now_edge_ms)) {
    key_value_->EndLease(tx, catalog_->state(), id).IgnoreError();
    spdlog::info("lease ended id={}", id);
  }
  catalog_->CollectGarbage(tx, kGarbageKeysMax);
  more = more || catalog_->has_garbage();
  const bool idle_save = absl::Milliseconds(tx.now_edge_ms - catalog_->state().clock.edge_ms) >= kIdleTick;
  const bool writes = !tx.batch.empty() || !tx.touched_queues.empty() || tx.state_changed || idle_save;
  if (writes) {
    if (const absl::Status written = WriteOut(tx); !written.ok()) {
      StartReopening({}, std::move(tx), written);
      return;
    }
    Publish(tx);
  }
  RefreshState();
  if (!held_.empty() && (tx.freed || !DiskIsLow())) RetryHeld();
  const absl::Duration pause = more                              ? kBusyTick
                               : (!held_.empty() || DiskIsLow()) ? kFullTick
                               : anything                        ? kSweepEvery
                                                                 : kIdleTick;
  next_tick_ = absl::Now() + pause;
  catalog_->ForEach("", [&](Queue& queue) {
    // Queues of a single client have its name behind a slash, and no label may name a client.
    if (queue.info().name.find('/') != std::string::npos) return;
    EngineMetrics::QueueGauges* const gauges = metrics_.Queue(queue.info().name);
    if (gauges == nullptr) return;
    gauges->records->Set(static_cast<double>(queue.records()));
    gauges->bytes->Set(static_cast<double>(queue.bytes()));
    uint64_t oldest = tx.now_edge_ms;
    for (const LaneCounters& lane : queue.counters().lanes) {
      oldest = std::min(oldest, queue.OldestEdgeMs(lane.priority).value_or(oldest));
    }
    gauges->oldest_age_seconds->Set(static_cast<double>(tx.now_edge_ms - oldest) / 1000);
    const QueueCounters& counters = queue.counters();
    const uint64_t dropped[] = {counters.expired, counters.full, counters.corrupt, counters.by_operator};
    for (int i = 0; i < 4; ++i) gauges->dropped[i]->Set(static_cast<double>(dropped[i]));
  });
}

void Engine::RefreshState() {
  Status status;
  status.bytes = catalog_->bytes();
  status.corrupt_records = catalog_->state().corrupt_records;
  status.key_uses = catalog_->state().key_uses;
  if (failed_) {
    status.state = State::kReopening;
    status.reason = fmt::format("a write failed ({}); the database is being reopened", Text(failed_->error));
  } else if (DiskIsLow()) {
    status.state = State::kFull;
    status.reason = fmt::format("the disk has {} bytes free, less than the floor of {}; free some space", free_bytes_,
                                options_.free_space_floor_bytes);
  } else if (status.bytes >= options_.total_bytes_max) {
    status.state = State::kFull;
    status.reason = fmt::format("{} of {} bytes are used; commit, purge or raise total_bytes_max", status.bytes,
                                options_.total_bytes_max);
  }
  status.free_bytes = free_bytes_;
  metrics_.bytes.Set(static_cast<double>(status.bytes));
  metrics_.serving.Set(status.state == State::kServing ? 1 : 0);
  metrics_.held_appends.Set(static_cast<double>(held_.size()));
  State before;
  {
    absl::MutexLock lock(&mutex_);
    before = status_.state;
    status_ = status;
  }
  if (before == status.state) return;
  if (status.state == State::kServing) {
    spdlog::info("store serves again");
  } else {
    spdlog::warn("store is {} reason={}", status.state == State::kFull ? "full" : "reopening", status.reason);
  }
}

void Engine::StartReopening(Group group, Transaction tx, const absl::Status& error) {
  metrics_.failed_writes.Increment();
  const uint64_t number = catalog_->state().group;
  reopen_backoff_ = std::clamp(reopen_backoff_ * 2, kReopenBackoffMin, kReopenBackoffMax);
  spdlog::error("write failed, reopening the database group={} requests={} error={}", number, group.size(),
                Text(error));
  failed_ = Failed{.group = std::move(group),
                   .tx = std::move(tx),
                   .number = number,
                   .error = error,
                   .retry_at = absl::Now() + reopen_backoff_};
  RefreshState();
  std::function<void(bool)> on_writable;
  {
    absl::MutexLock lock(&mutex_);
    on_writable = on_writable_;
  }
  if (on_writable) on_writable(false);
}

void Engine::TryReopen() {
  absl::Status status = database_->Reopen(/*repair=*/absl::IsDataLoss(failed_->error));
  tail_.Clear();
  Transaction repairs = Begin();
  if (status.ok()) status = catalog_->Load(database_->repaired(), repairs);
  if (status.ok()) status = leases_.Load(*database_, clock_->NowMs());
  if (!status.ok()) {
    spdlog::warn("database can't be reopened yet error={}", Text(status));
    reopen_backoff_ = std::min(reopen_backoff_ * 2, kReopenBackoffMax);
    failed_->retry_at = absl::Now() + reopen_backoff_;
    return;
  }
  const bool committed = catalog_->state().group >= failed_->number;
  spdlog::info("database reopened group={} committed={}", failed_->number, committed);
  NoteKeyUse(encryption_, /*holds_data=*/true, clock_->NowMs(), &catalog_->state().key_uses);
  resealing_->Restart();
  Failed failed = *std::move(failed_);
  failed_.reset();
  if (committed) {
    Complete(failed.group);
    failed.group.clear();
  }
  // The history of changes may lack those of the failed group: watchers start over.
  watch_hub_.Reset(catalog_->state().revision);
  // Writing shows whether it works again; if there was no request, the state is written.
  repairs.state_changed = true;
  // What came meanwhile is held, and comes behind the group: it must not hold the group's own appends back.
  Group later(std::make_move_iterator(held_.begin()), std::make_move_iterator(held_.end()));
  held_.clear();
  PlanAll(failed.group, repairs);
  std::move(later.begin(), later.end(), std::back_inserter(held_));
  if (const absl::Status written = WriteOut(repairs); !written.ok()) {
    StartReopening(std::move(failed.group), std::move(repairs), written);
    return;
  }
  database_->ForgetRepaired();
  catalog_->ForEach("", [&](Queue& queue) { repairs.touched_queues.insert(queue.id()); });
  Publish(repairs);
  Complete(failed.group);
  RetryHeld();
  RefreshState();
  std::function<void(bool)> on_writable;
  {
    absl::MutexLock lock(&mutex_);
    on_writable = on_writable_;
  }
  if (on_writable) on_writable(true);
}

void Engine::AnswerWhileReopening(Group group) {
  Transaction none = Begin();
  for (Operation& operation : group) {
    if (operation.wait) {
      held_.push_back(std::move(operation));
    } else if (operation.reads_only) {
      planning_ = &operation;
      operation.done(operation.plan(none));
    } else {
      operation.done(absl::UnavailableError("the store is reopening its database after a failed write; retry"));
    }
  }
  planning_ = nullptr;
}

}  // namespace holdfast::store
