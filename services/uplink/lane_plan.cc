#include "services/uplink/lane_plan.h"

#include <algorithm>
#include <utility>

namespace holdfast::uplink {
namespace {

// Ends of connections are looked for so often.
constexpr absl::Duration kTickInterval = absl::Milliseconds(250);
constexpr int kDoublingsMax = 20;
constexpr double kRateMin = 0.2;
constexpr double kRateRecovery = 1.1;

}  // namespace

LanePlan::LanePlan(Options options, std::function<double()> random)
    : options_(options), random_(std::move(random)), rate_(options.connects_per_second) {}

LanePlan::Lane& LanePlan::at(LaneId lane) {
  if (lane >= lanes_.size()) lanes_.resize(lane + 1);
  return lanes_[lane];
}

void LanePlan::SetWork(LaneId id, bool work, absl::Duration now) {
  Lane& lane = at(id);
  if (lane.work == work) return;
  lane.work = work;
  lane.used_at = now;
  if (!work) return;
  if (lane.queued == Queued::kHeld) Dequeue(id);
  if (lane.state == State::kClosed) Wait(id, now);
}

void LanePlan::SetHeld(LaneId id, bool held, bool at_once, absl::Duration now) {
  if (!held && id >= lanes_.size()) return;
  Lane& lane = at(id);
  if (lane.held == held) return;
  lane.held = held;
  lane.used_at = !held && at_once ? -absl::InfiniteDuration() : now;
  if (held && lane.state == State::kClosed) Wait(id, now);
}

void LanePlan::Renew(LaneId id, absl::Duration now) {
  if (id < lanes_.size()) lanes_[id].renew_by = now;
}

// In a queue, now or when the back-off ends.
void LanePlan::Wait(LaneId id, absl::Duration now) {
  Lane& lane = at(id);
  if (lane.retry_at > now) {
    waiting_.emplace(lane.retry_at, id);
  } else {
    Enqueue(id);
  }
}

void LanePlan::Enqueue(LaneId id) {
  Lane& lane = at(id);
  if (lane.queued != Queued::kNo) return;
  lane.queued = lane.work ? Queued::kForWork : Queued::kHeld;
  (lane.work ? queue_ : held_queue_).push_back(id);
}

void LanePlan::Dequeue(LaneId id) {
  const Queued queued = std::exchange(lanes_[id].queued, Queued::kNo);
  if (queued == Queued::kForWork) std::erase(queue_, id);
  if (queued == Queued::kHeld) std::erase(held_queue_, id);
}

void LanePlan::Prefer(LaneId id) {
  if (id >= lanes_.size() || lanes_[id].queued != Queued::kForWork || queue_.front() == id) return;
  std::erase(queue_, id);
  queue_.push_front(id);
}

void LanePlan::OnOpen(LaneId id, absl::Duration now, absl::Duration renew_from, absl::Duration renew_by) {
  Lane& lane = at(id);
  if (lane.state != State::kOpening) return;
  lane.state = State::kOpen;
  lane.open_at = lane.used_at = now;
  lane.renew_from = renew_from;
  lane.renew_by = renew_by;
  open_.insert(id);
  rate_ = std::min(rate_ * kRateRecovery, options_.connects_per_second);
}

void LanePlan::OnProgress(LaneId id) {
  at(id).failures = 0;
}

void LanePlan::OnClosed(LaneId id, bool failed, absl::Duration now) {
  Lane& lane = at(id);
  if (lane.state == State::kClosed) return;
  if (lane.state == State::kDraining) --draining_;
  open_.erase(id);
  lane.state = State::kClosed;
  --connections_;
  if (failed) {
    const int doublings = std::min(lane.failures++, kDoublingsMax);
    lane.retry_at = now + random_() * std::min(options_.backoff_max, options_.backoff_min * (int64_t{1} << doublings));
  }
  if (lane.work || lane.held) Wait(id, now);
}

void LanePlan::OnBusy() {
  rate_ = std::max(rate_ / 2, kRateMin);
}

void LanePlan::Drain(LaneId id, Actions* actions) {
  lanes_[id].state = State::kDraining;
  ++draining_;
  open_.erase(id);
  actions->drain.push_back(id);
}

void LanePlan::EndConnections(absl::Duration now, Actions* actions) {
  std::vector<LaneId> ends;
  for (const LaneId id : open_) {
    const Lane& lane = lanes_[id];
    const bool idle = !lane.work && !lane.held && now - lane.used_at >= options_.idle_timeout;
    const bool old = now >= lane.renew_by || (!lane.work && now >= lane.renew_from);
    if (idle || old) ends.push_back(id);
  }
  for (const LaneId id : ends) Drain(id, actions);
}

int LanePlan::Rank(const Lane& lane) const {
  if (lane.work) return 2;
  return lane.held ? 1 : 0;
}

// One connection ends for each that waits for room; see the class comment.
void LanePlan::MakeRoom(absl::Duration now, Actions* actions) {
  const size_t wanted = queue_.size() + held_queue_.size();
  while (wanted > draining_ && !open_.empty()) {
    const bool for_work = queue_.size() > draining_;
    LaneId best = *open_.begin();
    for (const LaneId id : open_) {
      const Lane& a = lanes_[id];
      const Lane& b = lanes_[best];
      if (Rank(a) != Rank(b) ? Rank(a) < Rank(b) : (Rank(a) > 0 ? a.open_at < b.open_at : a.used_at < b.used_at)) {
        best = id;
      }
    }
    const Lane& lane = lanes_[best];
    if (lane.work && (!for_work || now - lane.open_at < options_.turn)) return;
    if (!lane.work && lane.held && !for_work && now - lane.open_at < options_.held_turn) return;
    Drain(best, actions);
  }
}

void LanePlan::DropUnwanted(std::deque<LaneId>* queue) {
  while (!queue->empty()) {
    Lane& lane = lanes_[queue->front()];
    if (lane.work || lane.held) return;
    lane.queued = Queued::kNo;
    queue->pop_front();
  }
}

LanePlan::Actions LanePlan::Tick(absl::Duration now, bool online) {
  Actions actions;
  while (!waiting_.empty() && waiting_.begin()->first <= now) {
    const LaneId id = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    if ((lanes_[id].work || lanes_[id].held) && lanes_[id].state == State::kClosed) Enqueue(id);
  }
  EndConnections(now, &actions);
  while (online && now >= next_open_) {
    DropUnwanted(&queue_);
    DropUnwanted(&held_queue_);
    std::deque<LaneId>& queue = queue_.empty() ? held_queue_ : queue_;
    if (queue.empty()) break;
    if (connections_ >= options_.connections_max) {
      MakeRoom(now, &actions);
      break;
    }
    const LaneId id = queue.front();
    queue.pop_front();
    lanes_[id].queued = Queued::kNo;
    lanes_[id].state = State::kOpening;
    ++connections_;
    actions.open.push_back(id);
    next_open_ = std::max(next_open_, now - kTickInterval) + absl::Seconds((0.5 + random_()) / rate_);
  }
  return actions;
}

absl::Duration LanePlan::next_tick(absl::Duration now) const {
  absl::Duration at = now + kTickInterval;
  if (!waiting_.empty()) at = std::min(at, waiting_.begin()->first);
  const bool queued = !queue_.empty() || !held_queue_.empty();
  if (queued && connections_ < options_.connections_max) at = std::min(at, std::max(now, next_open_));
  return at;
}

void LanePlan::Forget(LaneId id) {
  if (id >= lanes_.size()) return;
  Dequeue(id);
  waiting_.erase({lanes_[id].retry_at, id});
  lanes_[id] = Lane{};
}

}  // namespace holdfast::uplink
