#include "services/store/engine.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <filesystem>

#include "absl/time/clock.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "services/store/key_uses.h"

namespace holdfast::store {
namespace {

uint64_t StatvfsFree(const std::string& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0) return UINT64_MAX;  // Not known: writing will show.
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}

Engine::Options WithDirectories(Engine::Options options) {
  options.database.directory = options.data_dir + "/db";
  options.database.blocks_directory = options.data_dir + "/blocks";
  options.database.damaged_directory = options.data_dir + "/damaged";
  if (options.clock == nullptr) options.clock = Clock::System();
  if (!options.free_bytes) {
    options.free_bytes = [path = options.data_dir] { return StatvfsFree(path); };
  }
  return options;
}

absl::Status NoQueue(std::string_view name) {
  return absl::NotFoundError(fmt::format("there is no queue {}", name));
}

}  // namespace

Engine::Engine(Options options, Metrics* metrics)
    : options_(WithDirectories(std::move(options))),
      metrics_(metrics),
      tail_(options_.tail_cache_bytes),
      watch_hub_(options_.watch_history_bytes) {}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(Options options, Metrics* metrics) {
  std::unique_ptr<Engine> engine(new Engine(std::move(options), metrics));
  RETURN_IF_ERROR(engine->Open());
  engine->thread_ = std::thread([e = engine.get()] { e->Loop(); });
  return engine;
}

Engine::~Engine() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
  EndStreams(absl::UnavailableError("the store is stopping; retry"));
}

absl::Status Engine::Open() {
  ASSIGN_OR_RETURN(database_, Database::Open(options_.database));
  catalog_ = std::make_unique<Catalog>(database_.get(), &encryption_);
  key_value_ = std::make_unique<KeyValue>(database_.get(), &encryption_, &leases_, options_.key_value_bytes_max);
  resealing_ = std::make_unique<Resealing>(*database_, encryption_);

  Transaction tx;
  RETURN_IF_ERROR(catalog_->Load(database_->repaired(), tx));
  std::vector<KeyUse>& key_uses = catalog_->state().key_uses;
  // Before anything is written: with the wrong key the data stays as it is.
  ASSIGN_OR_RETURN(encryption_, LoadEncryption(options_.encryption_key_file, options_.data_dir, key_uses));
  clock_ = std::make_unique<EdgeClock>(options_.clock, catalog_->state().clock);
  tx.now_edge_ms = clock_->NowMs();
  tx.now_wall_ms = clock_->WallMs();
  RETURN_IF_ERROR(leases_.Load(*database_, tx.now_edge_ms));

  std::string& store_id = catalog_->state().store_id;
  NoteKeyUse(encryption_, /*holds_data=*/!store_id.empty() || catalog_->size() > 0, tx.now_edge_ms, &key_uses);
  if (store_id.empty()) store_id = RandomHexId();
  store_id_ = store_id;
  tx.state_changed = true;
  if (const absl::Status written = WriteOut(tx); !written.ok()) {
    return absl::UnavailableError(
        fmt::format("can't write to {}: {}; is the disk full?", options_.data_dir, Text(written)));
  }
  database_->ForgetRepaired();
  watch_hub_.Reset(catalog_->state().revision);
  catalog_->ForEach("", [this](Queue& queue) { queue.Publish(options_.ttl_seconds); });
  RefreshState();
  spdlog::info("data directory opened path={} store_id={} queues={} bytes={} encryption_key={}", options_.data_dir,
               store_id_, catalog_->size(), catalog_->bytes(),
               encryption_.on() ? KeyIdText(encryption_.key_id()) : "none");
  return absl::OkStatus();
}

void Engine::Submit(Operation operation) {
  operation.submitted = absl::Now();
  {
    absl::MutexLock lock(&mutex_);
    if (!stopping_) {
      inbox_.push_back(std::move(operation));
      return;
    }
  }
  operation.done(absl::UnavailableError("the store is stopping; retry"));
}

void Engine::Append(uint64_t stream_id, AppendJob job, bool wait, Done<uint64_t> done) {
  auto first = std::make_shared<uint64_t>(0);
  auto work = std::make_shared<AppendJob>(std::move(job));
  Operation operation;
  operation.bytes = work->block->value.size();
  operation.queue = work->queue;
  operation.stream_id = stream_id;
  operation.wait = wait;
  operation.plan = [this, first, work](Transaction& tx) { return PlanAppend(tx, *planning_, *work, first.get()); };
  operation.done = [first, done = std::move(done)](absl::Status status) mutable {
    if (status.ok()) {
      done(*first);
    } else {
      done(std::move(status));
    }
  };
  Submit(std::move(operation));
}

void Engine::Refuse(absl::Status status, DoneStatus done) {
  Operation operation;
  operation.plan = [status](Transaction&) { return status; };
  operation.done = std::move(done);
  operation.reads_only = true;
  Submit(std::move(operation));
}

void Engine::ForgetStream(uint64_t stream_id) {
  Operation operation;
  operation.reads_only = true;
  operation.plan = [this, stream_id](Transaction&) {
    std::vector<Operation> dropped;
    for (auto it = held_.begin(); it != held_.end();) {
      if (it->stream_id == stream_id) {
        dropped.push_back(std::move(*it));
        it = held_.erase(it);
      } else {
        ++it;
      }
    }
    for (Operation& op : dropped) op.done(absl::CancelledError("the stream is gone"));
    return absl::OkStatus();
  };
  operation.done = [](absl::Status) {};
  Submit(std::move(operation));
}

void Engine::Write(WriteJob job, Done<WriteResult> done) {
  auto result = std::make_shared<WriteResult>();
  auto work = std::make_shared<WriteJob>(std::move(job));
  Operation operation;
  for (const AppendJob& append : work->appends) operation.bytes += append.block->value.size();
  for (const PutJob& put : work->puts) operation.bytes += put.value.size();
  operation.plan = [this, result, work](Transaction& tx) { return PlanWrite(tx, *work, result.get()); };
  operation.done = [result, done = std::move(done)](absl::Status status) mutable {
    if (status.ok()) {
      done(std::move(*result));
    } else {
      done(std::move(status));
    }
  };
  Submit(std::move(operation));
}

void Engine::OpenPull(std::string queue, std::string consumer, Done<PullStart> done) {
  auto start = std::make_shared<PullStart>();
  Operation operation;
  operation.plan = [this, start, queue = std::move(queue), consumer = std::move(consumer)](Transaction& tx) {
    {
      absl::MutexLock lock(&mutex_);
      if (streams_ended_) return absl::Status(absl::UnavailableError("the store is stopping; retry"));
    }
    ASSIGN_OR_RETURN(Queue* const found, catalog_->FindOrCreate(tx, queue));
    ASSIGN_OR_RETURN(const Queue::Consumer* const registered, found->Register(tx, consumer));
    start->feed = found->shared_feed();
    start->checkpoints = registered->checkpoints;
    start->incarnation = found->info().incarnation;
    return absl::OkStatus();
  };
  operation.done = [start, done = std::move(done)](absl::Status status) mutable {
    if (status.ok()) {
      done(std::move(*start));
    } else {
      done(std::move(status));
    }
  };
  Submit(std::move(operation));
}

void Engine::ReportLosses(uint64_t queue_id, std::vector<Loss> losses) {
  Operation operation;
  operation.plan = [this, queue_id, losses = std::move(losses)](Transaction& tx) {
    Queue* const queue = catalog_->FindById(queue_id);
    if (queue == nullptr) return absl::OkStatus();
    for (const Loss& loss : losses) {
      const uint64_t lost = queue->MarkLoss(tx, loss, options_.ttl_seconds);
      if (lost == 0) continue;
      catalog_->state().corrupt_records += lost;
      spdlog::error("records lost on a damaged place queue={} priority={} first_sequence={} records={}",
                    Printable(queue->info().name), loss.priority, loss.first_sequence, lost);
    }
    return absl::OkStatus();
  };
  operation.done = [](absl::Status) {};
  Submit(std::move(operation));
}

void Engine::Configure(std::string queue, std::optional<FullPolicy> policy, uint64_t bytes_max, int32_t ttl_seconds,
                       DoneStatus done) {
  Operation operation;
  operation.plan = [this, queue = std::move(queue), policy, bytes_max, ttl_seconds](Transaction& tx) {
    ASSIGN_OR_RETURN(Queue* const found, catalog_->FindOrCreate(tx, queue));
    Settings settings = found->info().settings;
    if (policy) settings.full_policy = *policy;
    settings.bytes_max = bytes_max;
    settings.ttl_seconds = ttl_seconds;
    found->Configure(tx, settings);
    return absl::OkStatus();
  };
  operation.done = std::move(done);
  Submit(std::move(operation));
}

void Engine::Purge(std::string queue, std::optional<uint32_t> priority, Done<uint64_t> done) {
  auto removed = std::make_shared<uint64_t>(0);
  Operation operation;
  operation.plan = [this, removed, queue = std::move(queue), priority](Transaction& tx) {
    Queue* const found = catalog_->Find(queue);
    if (found == nullptr) return NoQueue(queue);
    *removed = found->Purge(tx, priority);
    return absl::OkStatus();
  };
  operation.done = [removed, done = std::move(done)](absl::Status status) mutable {
    if (status.ok()) {
      done(*removed);
    } else {
      done(std::move(status));
    }
  };
  Submit(std::move(operation));
}

void Engine::DeleteQueue(std::string queue, DoneStatus done) {
  auto feed = std::make_shared<std::shared_ptr<Feed>>();
  Operation operation;
  operation.plan = [this, feed, queue](Transaction& tx) {
    if (Queue* const found = catalog_->Find(queue); found != nullptr) *feed = found->shared_feed();
    return catalog_->Delete(tx, queue);
  };
  operation.done = [this, feed, queue, done = std::move(done)](absl::Status status) mutable {
    if (status.ok() && *feed != nullptr) {
      tail_.ForgetQueue((*feed)->queue_id());
      (*feed)->EndAll(absl::NotFoundError(fmt::format("queue {} was deleted", queue)));
    }
    done(std::move(status));
  };
  Submit(std::move(operation));
}

void Engine::DeleteConsumer(std::string queue, std::string consumer, DoneStatus done) {
  auto feed = std::make_shared<std::shared_ptr<Feed>>();
  Operation operation;
  operation.plan = [this, feed, queue = std::move(queue), consumer](Transaction& tx) {
    Queue* const found = catalog_->Find(queue);
    if (found == nullptr) return NoQueue(queue);
    *feed = found->shared_feed();
    return found->DeleteConsumer(tx, consumer);
  };
  operation.done = [feed, consumer, done = std::move(done)](absl::Status status) mutable {
    if (status.ok()) (*feed)->EndOne(consumer, absl::NotFoundError("the consumer was deleted"));
    done(std::move(status));
  };
  Submit(std::move(operation));
}

void Engine::ForEachQueue(std::string prefix, Visit visit, DoneStatus done) {
  auto each = [visit = std::move(visit)](Queue& queue, uint32_t waiting) mutable {
    visit(queue, waiting);
    return true;
  };
  WalkQueues(std::move(prefix), "", std::move(each), std::move(done));
}

void Engine::WalkQueues(std::string prefix, std::string after, VisitWhile visit, DoneStatus done) {
  Operation operation;
  operation.plan = [](Transaction&) { return absl::OkStatus(); };
  // Not in the plan, which is called again after a failed write.
  operation.done = [this, prefix = std::move(prefix), after = std::move(after), visit = std::move(visit),
                    done = std::move(done)](absl::Status status) mutable {
    if (!status.ok()) {
      done(std::move(status));
      return;
    }
    StringMap<uint32_t> waiting;
    for (const Operation& held : held_) ++waiting[held.queue];
    catalog_->Walk(prefix, after, [&](Queue& queue) {
      const auto it = waiting.find(queue.info().name);
      return visit(queue, it == waiting.end() ? 0 : it->second);
    });
    done(std::move(status));
  };
  Submit(std::move(operation));
}

void Engine::GrantLease(uint64_t ttl_ms, Done<uint64_t> done) {
  auto id = std::make_shared<uint64_t>(0);
  Operation operation;
  operation.plan = [this, id, ttl_ms](Transaction& tx) {
    *id = catalog_->state().next_lease_id++;
    return leases_.Grant(tx, *id, ttl_ms);
  };
  operation.done = [id, done = std::move(done)](absl::Status status) mutable {
    if (status.ok()) {
      done(*id);
    } else {
      done(std::move(status));
    }
  };
  Submit(std::move(operation));
}

void Engine::KeepLease(uint64_t lease_id, Done<uint64_t> done) {
  auto ttl_ms = std::make_shared<uint64_t>(0);
  Operation operation;
  operation.plan = [this, ttl_ms, lease_id](Transaction& tx) {
    ASSIGN_OR_RETURN(*ttl_ms, leases_.Keep(lease_id, tx.now_edge_ms));
    return absl::OkStatus();
  };
  operation.done = [ttl_ms, done = std::move(done)](absl::Status status) mutable {
    if (status.ok()) {
      done(*ttl_ms);
    } else {
      done(std::move(status));
    }
  };
  Submit(std::move(operation));
}

void Engine::RevokeLease(uint64_t lease_id, DoneStatus done) {
  Operation operation;
  operation.plan = [this, lease_id](Transaction& tx) { return key_value_->EndLease(tx, catalog_->state(), lease_id); };
  operation.done = std::move(done);
  Submit(std::move(operation));
}

Engine::Status Engine::status() const {
  absl::MutexLock lock(&mutex_);
  Status status = status_;
  return status;
}

void Engine::OnWritable(std::function<void(bool)> callback) {
  absl::MutexLock lock(&mutex_);
  on_writable_ = std::move(callback);
}

void Engine::EndStreams(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    streams_ended_ = true;
  }
  watch_hub_.EndAll(status);
  auto feeds = std::make_shared<std::vector<std::shared_ptr<Feed>>>();
  if (!thread_.joinable()) {
    if (catalog_ == nullptr) return;  // It was never opened.
    catalog_->ForEach("", [&](Queue& queue) { feeds->push_back(queue.shared_feed()); });
    for (const auto& feed : *feeds) feed->EndAll(status);
    return;
  }
  ForEachQueue(
      "", [feeds](Queue& queue, uint32_t) { feeds->push_back(queue.shared_feed()); },
      [feeds, status](const absl::Status&) {
        for (const auto& feed : *feeds) feed->EndAll(status);
      });
}

bool Engine::streams_ended() const {
  absl::MutexLock lock(&mutex_);
  return streams_ended_;
}

void Engine::Poke() {
  absl::MutexLock lock(&mutex_);
  poked_ = true;
}

}  // namespace holdfast::store
