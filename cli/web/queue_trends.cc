#include "cli/web/queue_trends.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/wire.h"
#include "lib/record/queue_names.h"

namespace holdfast::web {
namespace {

nlohmann::json Rate(const std::optional<double>& rate) {
  return rate ? nlohmann::json(std::round(*rate * 10) / 10) : nlohmann::json(nullptr);
}

// Gone since the queue was made: delivered, or dropped.
uint64_t Gone(const store::v1::Queue& queue) {
  return queue.appended() - std::min(queue.appended(), queue.records());
}

uint64_t Dropped(const store::v1::DroppedCounts& dropped) {
  return dropped.expired() + dropped.full() + dropped.corrupt() + dropped.operator_();
}

}  // namespace

nlohmann::json DrainJson(const Drain& drain) {
  nlohmann::json json = {{"state", Name(drain.state)}};
  if (drain.state == Drain::State::kDraining) json["left_s"] = std::ceil(absl::ToDoubleSeconds(drain.left));
  if (drain.per_second > 0) json["per_second"] = std::round(drain.per_second * 10) / 10;
  return json;
}

void QueueTrends::Add(absl::Duration at, bool is_link_up, const std::vector<store::v1::Queue>& queues) {
  is_known_ = true;
  total_ = queues.size();
  records_ = bytes_ = 0;
  std::vector<const store::v1::Queue*> most;
  for (const store::v1::Queue& queue : queues) {
    records_ += queue.records();
    bytes_ += queue.bytes();
    most.push_back(&queue);
  }
  std::sort(most.begin(), most.end(), [](const auto* a, const auto* b) {
    const bool is_a_first = a->name() == kUpstreamQueue, is_b_first = b->name() == kUpstreamQueue;
    if (is_a_first != is_b_first) return is_a_first;
    return a->records() != b->records() ? a->records() > b->records() : a->name() < b->name();
  });
  most.resize(std::min(most.size(), kShownMax));
  std::map<std::string, Trend> before = std::move(shown_);
  shown_.clear();
  order_.clear();
  for (const store::v1::Queue* queue : most) {
    auto known = before.extract(queue->name());
    Trend& trend = known.empty() ? shown_[queue->name()] : shown_.insert(std::move(known)).position->second;
    Follow(at, is_link_up, *queue, &trend);
    order_.push_back(queue->name());
  }
}

void QueueTrends::Follow(absl::Duration at, bool is_link_up, const store::v1::Queue& queue, Trend* trend) {
  // Made anew under the same name: another queue.
  if (trend->queue.incarnation() != queue.incarnation()) *trend = Trend();
  trend->queue = queue;
  trend->in = trend->in_rate.Add(at, {{"", queue.appended()}});
  trend->out = trend->out_rate.Add(at, {{"", Gone(queue)}});
  const bool is_read = std::any_of(queue.consumers().begin(), queue.consumers().end(),
                                   [](const store::v1::Consumer& consumer) { return consumer.connected(); });
  const bool can_drain = is_read && (queue.name() != kUpstreamQueue || is_link_up);
  trend->drain = trend->estimate.Add(
      {.at = at, .backlog = queue.records(), .can_drain = can_drain, .out_per_second = trend->out.value_or(0)});
}

void QueueTrends::Clear() {
  *this = QueueTrends();
}

nlohmann::json QueueTrends::Json() const {
  if (!is_known_) return nullptr;
  nlohmann::json list = nlohmann::json::array();
  for (const std::string& name : order_) {
    const Trend& trend = shown_.at(name);
    const store::v1::Queue& queue = trend.queue;
    list.push_back(
        {{"name", name},
         {"records", queue.records()},
         {"bytes", queue.bytes()},
         {"oldest_s", queue.has_oldest_age() ? nlohmann::json(absl::ToInt64Seconds(cli::ToDuration(queue.oldest_age())))
                                             : nlohmann::json(nullptr)},
         {"in", Rate(trend.in)},
         {"out", Rate(trend.out)},
         {"dropped", Dropped(queue.dropped())},
         {"waiting_appends", queue.waiting_appends()},
         {"drain", DrainJson(trend.drain)}});
  }
  return {{"total", total_}, {"records", records_}, {"bytes", bytes_}, {"shown", std::move(list)}};
}

}  // namespace holdfast::web
