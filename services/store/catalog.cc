#include "services/store/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "services/store/key_uses.h"

namespace holdfast::store {
namespace {

constexpr size_t kQueuesMax = 100'000;
// Far more than a write-ahead log of some megabytes can have held.
constexpr uint64_t kNumberingMargin = 16'777'216;

}  // namespace

std::string RandomHexId() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

absl::Status Catalog::Load(bool repaired, Transaction& tx) {
  state_ = StoreState();
  const auto value = database_->Get(StateKey());
  if (value.ok()) {
    const auto state = DecodeStoreState(*value);
    if (!state) return absl::DataLossError("the store's own record can't be read: was it written by a newer version?");
    state_ = *state;
  } else if (!absl::IsNotFound(value.status()) && !(repaired && absl::IsDataLoss(value.status()))) {
    return value.status();
  }
  if (repaired) {
    AddKeysFound(*database_, &state_.key_uses);
    Database::Scan scan(*database_, std::string(kEntryPrefix), /*checked=*/false);
    for (scan.SeekFirst(); scan.Valid(); scan.Next()) {
      if (const auto entry = DecodeEntry(scan.value()); entry) {
        state_.revision = std::max(state_.revision, entry->revision);
      }
    }
    state_.revision += kNumberingMargin;
    state_.next_lease_id += kNumberingMargin;
    tx.state_changed = true;
  }
  return LoadQueues(repaired, tx);
}

absl::Status Catalog::LoadQueues(bool repaired, Transaction& tx) {
  absl::flat_hash_map<uint64_t, std::shared_ptr<Feed>> feeds;
  for (const auto& [id, queue] : by_id_) feeds[id] = queue->shared_feed();
  by_id_.clear();
  by_name_.clear();
  garbage_.clear();
  deleted_.clear();
  bytes_ = 0;

  std::vector<std::pair<uint64_t, QueueRecord>> records;
  {
    Database::Scan scan(*database_, std::string(kQueuePrefix), /*checked=*/true);
    RETURN_IF_ERROR(scan.status());
    for (scan.SeekFirst(); scan.Valid(); scan.Next()) {
      const auto id = ParseNumberKey(scan.key());
      auto record = DecodeQueue(scan.value());
      if (!id || !record) {
        spdlog::error("a queue can't be read, it is left out key={}", Printable(scan.key()));
        continue;
      }
      records.emplace_back(*id, *std::move(record));
    }
  }
  {
    Database::Scan scan(*database_, std::string(kDeletedQueuePrefix), /*checked=*/true);
    for (scan.SeekFirst(); scan.Valid(); scan.Next()) {
      if (const auto id = ParseNumberKey(scan.key()); id) deleted_.push_back(*id);
    }
  }
  for (auto& [id, record] : records) {
    auto& feed = feeds[id];
    if (feed == nullptr) feed = std::make_shared<Feed>(id);
    const std::string name = record.info.name;
    auto queue = std::make_unique<Queue>(id, std::move(record.info), std::move(record.counters), database_, encryption_,
                                         &bytes_, feed);
    if (repaired) queue->Recount(tx, kNumberingMargin);
    if (database_->unclean()) queue->LookForGarbage();
    if (queue->has_garbage()) garbage_.insert(id);
    state_.next_queue_id = std::max(state_.next_queue_id, id + 1);
    by_id_[id] = queue.get();
    by_name_[name] = std::move(queue);
  }
  LoadConsumers();
  // After a repair it may be that the queue is lost, and not its blocks.
  if (database_->unclean() && !repaired) FindDeletedQueues(tx);
  return absl::OkStatus();
}

// Those of which only blocks are left.
void Catalog::FindDeletedQueues(Transaction& tx) {
  Database::Scan scan(*database_, std::string(kBlockPrefix), /*checked=*/false, /*riders=*/true);
  scan.SeekFirst();
  while (scan.Valid()) {
    const auto key = ParseBlockKey(BlockOf(scan.key()));
    if (!key) return;
    if (FindById(key->queue_id) == nullptr && std::ranges::find(deleted_, key->queue_id) == deleted_.end()) {
      deleted_.push_back(key->queue_id);
      tx.batch.Put(DeletedQueueKey(key->queue_id), "");
    }
    if (key->queue_id == UINT64_MAX) return;
    scan.Seek(QueueBlocksPrefix(key->queue_id + 1));
  }
}

void Catalog::LoadConsumers() {
  Database::Scan scan(*database_, std::string(kCheckpointsPrefix), /*checked=*/true);
  for (scan.SeekFirst(); scan.Valid(); scan.Next()) {
    const auto key = ParseNumberTextKey(scan.key());
    auto checkpoints = DecodeCheckpoints(scan.value());
    Queue* const queue = key ? FindById(key->number) : nullptr;
    if (queue == nullptr) continue;
    // A checkpoint that can't be read starts over: records twice rather than records lost.
    queue->AddConsumer({std::string(key->text), checkpoints ? *std::move(checkpoints) : std::vector<Checkpoint>()});
  }
}

Queue* Catalog::Find(std::string_view name) {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second.get();
}

Queue* Catalog::FindById(uint64_t id) {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

absl::StatusOr<Queue*> Catalog::FindOrCreate(Transaction& tx, std::string_view name) {
  if (Queue* found = Find(name); found != nullptr) return found;
  if (by_name_.size() >= kQueuesMax) {
    return absl::ResourceExhaustedError(
        fmt::format("there are {} queues, which is the limit; delete some", by_name_.size()));
  }
  const uint64_t id = state_.next_queue_id++;
  QueueInfo info{.name = std::string(name), .incarnation = RandomHexId()};
  tx.touched_queues.insert(id);
  auto queue = std::make_unique<Queue>(id, std::move(info), QueueCounters(), database_, encryption_, &bytes_,
                                       std::make_shared<Feed>(id));
  Queue* const result = queue.get();
  by_id_[id] = result;
  by_name_[std::string(name)] = std::move(queue);
  return result;
}

absl::Status Catalog::Delete(Transaction& tx, std::string_view name) {
  const auto it = by_name_.find(name);
  if (it == by_name_.end()) return absl::NotFoundError(fmt::format("there is no queue {}", name));
  Queue& queue = *it->second;
  const uint64_t id = queue.id();
  for (const Queue::Consumer& consumer : queue.consumers()) tx.batch.Delete(CheckpointsKey(id, consumer.name));
  tx.batch.Delete(QueueKey(id));
  tx.batch.Put(DeletedQueueKey(id), "");
  tx.touched_queues.erase(id);
  tx.freed = true;
  deleted_.push_back(id);
  garbage_.erase(id);
  bytes_ -= queue.bytes();
  by_id_.erase(id);
  by_name_.erase(it);
  return absl::OkStatus();
}

void Catalog::ForEach(std::string_view prefix, const std::function<void(Queue&)>& visit) {
  Walk(prefix, "", [&visit](Queue& queue) {
    visit(queue);
    return true;
  });
}

void Catalog::Walk(std::string_view prefix, std::string_view after, const std::function<bool(Queue&)>& visit) {
  auto it = after.empty() ? by_name_.lower_bound(prefix) : by_name_.upper_bound(after);
  while (it != by_name_.end() && it->first.starts_with(prefix) && visit(*it->second)) ++it;
}

size_t Catalog::CollectGarbage(Transaction& tx, size_t keys_max) {
  size_t deleted = 0;
  while (!garbage_.empty() && deleted < keys_max) {
    Queue* const queue = FindById(*garbage_.begin());
    if (queue != nullptr) deleted += queue->CollectGarbage(tx, keys_max - deleted);
    if (queue != nullptr && queue->has_garbage()) return deleted;
    garbage_.erase(garbage_.begin());
  }
  while (!deleted_.empty() && deleted < keys_max) {
    const uint64_t id = deleted_.back();
    Database::Scan scan(*database_, QueueBlocksPrefix(id), /*checked=*/false, /*riders=*/true);
    if (!scan.status().ok()) return deleted;
    for (scan.SeekFirst(); scan.Valid() && deleted < keys_max; scan.Next(), ++deleted) tx.batch.Delete(scan.key());
    if (scan.Valid()) return deleted;
    tx.batch.Delete(DeletedQueueKey(id));
    deleted_.pop_back();
  }
  return deleted;
}

bool Catalog::has_garbage() const {
  return !garbage_.empty() || !deleted_.empty();
}

void Catalog::Seal(Transaction& tx) {
  for (const uint64_t id : tx.touched_queues) {
    Queue* const queue = FindById(id);
    if (queue == nullptr) continue;
    tx.batch.Put(QueueKey(id), queue->Encoded());
    if (queue->has_garbage()) garbage_.insert(id);
  }
}

}  // namespace holdfast::store
