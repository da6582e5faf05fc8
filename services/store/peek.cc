#include "services/store/peek.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "lib/base/status.h"
#include "lib/record/block.h"
#include "services/store/lane_scan.h"
#include "services/store/requests.h"

namespace holdfast::store {
namespace {

constexpr uint32_t kPeekLimitMax = 1000;
constexpr uint32_t kPeekLimitDefault = 10;
constexpr size_t kPeekBytesMax = 4 << 20;

struct PeekedLane {
  uint32_t priority = 0;
  uint64_t head_sequence = 1;
  uint64_t first_sequence = 1;  // behind every consumer's checkpoint
};

struct Peeked {
  bool found = false;
  uint64_t queue_id = 0;
  int32_t ttl_seconds = 0;
  std::vector<PeekedLane> lanes;
};

void Note(const Queue& queue, int32_t default_ttl_seconds, Peeked* out) {
  out->found = true;
  out->queue_id = queue.id();
  out->ttl_seconds = queue.ttl_seconds(default_ttl_seconds);
  for (const LaneCounters& lane : queue.counters().lanes) {
    uint64_t passed = queue.consumers().empty() ? 0 : UINT64_MAX;
    for (const Queue::Consumer& consumer : queue.consumers()) {
      uint64_t own = 0;
      for (const Checkpoint& checkpoint : consumer.checkpoints) {
        if (checkpoint.priority == lane.priority) own = checkpoint.sequence;
      }
      passed = std::min(passed, own);
    }
    out->lanes.push_back({lane.priority, lane.head_sequence, std::max(lane.head_sequence, passed + 1)});
  }
}

absl::Status Read(Engine& engine, const Peeked& from, uint64_t from_sequence, std::optional<uint32_t> priority,
                  uint32_t limit, v1::PeekResponse* response) {
  size_t bytes = 0;
  const auto full = [&] { return static_cast<uint32_t>(response->records_size()) >= limit || bytes >= kPeekBytesMax; };
  for (const PeekedLane& lane : from.lanes) {
    if (priority && lane.priority != *priority) continue;
    const uint64_t first = std::max(lane.first_sequence, from_sequence);
    LaneScan scan(engine.database(), from.queue_id, lane.priority);
    RETURN_IF_ERROR(scan.status());
    for (scan.Seek(first, lane.head_sequence); scan.Valid() && !full(); scan.Next()) {
      if (scan.info().hole) continue;
      const uint64_t now_ms = engine.clock().NowMs();
      const bool expired = IsExpired(scan.info().edge_ms, scan.info().ttl_seconds, from.ttl_seconds, now_ms);
      std::string opened;
      if (!engine.encryption().OpenBlock(scan.key(), scan.header(), scan.value(), &opened).ok()) continue;
      BlockReader reader(std::string_view(opened).substr(kBlockHeaderBytes));
      uint64_t sequence = scan.info().first_sequence;
      for (auto record = reader.Next(); record && !full(); record = reader.Next(), ++sequence) {
        if (sequence < first) continue;
        v1::PeekedRecord* const out = response->add_records();
        out->set_sequence(sequence);
        out->set_priority(lane.priority);
        out->mutable_record()->assign(*record);
        SetTimestamp(scan.header().wall_ms, out->mutable_appended_at());
        out->set_expired(expired);
        out->set_ttl_seconds(scan.info().ttl_seconds);
        SetDuration(now_ms - std::min(now_ms, scan.info().edge_ms), out->mutable_age());
        bytes += record->size();
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckPeek(const v1::PeekRequest& request) {
  RETURN_IF_ERROR(CheckQueueName(request.queue()));
  if (request.limit() > kPeekLimitMax) {
    return absl::InvalidArgumentError(fmt::format("limit {} is more than {}", request.limit(), kPeekLimitMax));
  }
  return absl::OkStatus();
}

void StartPeek(Engine* engine, ReadLoop* loop, const v1::PeekRequest& request, v1::PeekResponse* response,
               Engine::DoneStatus done) {
  auto from = std::make_shared<Peeked>();
  const std::string name = request.queue();
  const uint64_t from_sequence = request.from_sequence();
  const uint32_t limit = request.limit() == 0 ? kPeekLimitDefault : request.limit();
  const auto priority = request.has_priority() ? std::optional(request.priority()) : std::nullopt;
  engine->ForEachQueue(
      name,
      [from, name, engine](Queue& queue, uint32_t) {
        if (queue.info().name == name) Note(queue, engine->options().ttl_seconds, from.get());
      },
      [=, done = std::move(done)](absl::Status status) mutable {
        if (status.ok() && !from->found) status = absl::NotFoundError(fmt::format("there is no queue {}", name));
        if (!status.ok()) {
          done(std::move(status));
          return;
        }
        loop->Post([=, done = std::move(done)]() mutable {
          done(Read(*engine, *from, from_sequence, priority, limit, response));
        });
      });
}

}  // namespace holdfast::store
